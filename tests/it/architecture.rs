//! Who may depend on whom. A rule that review said twice is a test here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

const SERVICES: [&str; 6] = [
    "perennial-ingestion",
    "perennial-segmentation",
    "perennial-scoring",
    "perennial-campaign",
    "perennial-loyalty",
    "perennial-notification",
];

/// Layers from the ground up; a crate may depend on those below it and, where they stand in one layer, on those before it.
const LAYERS: [&[&str]; 8] = [
    &["perennial-types", "perennial-clv"],
    &["perennial-api"],
    &["perennial-rpc"],
    &["perennial-store", "perennial-cache"],
    &["perennial-feed"],
    &["perennial-runtime"],
    &SERVICES,
    &["perennial"],
];

fn packages() -> Vec<Package> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap().packages
}

fn ours(package: &Package) -> BTreeSet<String> {
    let normal = package.dependencies.iter().filter(|it| it.kind == DependencyKind::Normal);
    normal.map(|it| it.name.clone()).filter(|it| it.starts_with("perennial")).collect()
}

fn height() -> BTreeMap<&'static str, usize> {
    LAYERS.iter().enumerate().flat_map(|(height, names)| names.iter().map(move |it| (*it, height))).collect()
}

#[test]
fn dependencies_point_downwards_and_no_service_knows_another() {
    let height = height();
    for package in packages() {
        let Some(own) = height.get(package.name.as_str()) else { continue };
        for other in ours(&package) {
            let below = height.get(other.as_str()).is_some_and(|it| it < own);
            assert!(
                below,
                "{} depends on {other}, which is not below it: call a service through perennial-api",
                package.name
            );
        }
    }
}

#[test]
fn every_crate_has_a_place_in_the_layers() {
    let height = height();
    for package in packages() {
        let known = height.contains_key(package.name.as_str())
            || ["perennial-tests", "perennial-testing"].contains(&package.name.as_str());
        assert!(known, "{} has no layer: give it one in tests/it/architecture.rs", package.name);
    }
}

#[test]
fn shared_words_and_mathematics_know_no_transport_and_no_database() {
    let pure = ["perennial-types", "perennial-clv"];
    let banned = ["tonic", "prost", "sea-orm", "sqlx", "tokio", "redis"];
    for package in packages().iter().filter(|it| pure.contains(&it.name.as_str())) {
        let normal = package.dependencies.iter().filter(|it| it.kind == DependencyKind::Normal);
        let found: Vec<&str> = normal.map(|it| it.name.as_str()).filter(|it| banned.contains(it)).collect();
        assert!(found.is_empty(), "{} depends on {found:?}: it must stay pure", package.name);
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn domains_know_no_transport_no_database_and_no_runtime() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut looked_at = 0;
    for service in SERVICES {
        let mut files = vec![crates.join(service).join("src/domain.rs")];
        sources(&crates.join(service).join("src/domain"), &mut files);
        for file in files.iter().filter(|it| it.exists()) {
            looked_at += 1;
            let text = std::fs::read_to_string(file).unwrap();
            for banned in
                ["tonic::", "prost::", "perennial_api", "sea_orm", "perennial_store", "tokio::", "async fn"]
            {
                let line = text.lines().find(|it| it.contains(banned) && !it.trim_start().starts_with("//"));
                assert!(line.is_none(), "{}: {line:?}: a domain is pure", file.display());
            }
        }
    }
    assert!(looked_at > 20, "the domains are where this test looks for them");
}
