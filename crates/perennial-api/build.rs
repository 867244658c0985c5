//! Compiles every file under `proto/` with protox, so that no `protoc` needs to be installed.

use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    // Asked when run, not when compiled: a second clone may share what was built.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets CARGO_MANIFEST_DIR")?;
    let root = Path::new(&here).join("../../proto");
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();
    println!("cargo::rerun-if-changed={}", root.display());

    let descriptors = protox::Compiler::new([&root])?
        .include_source_info(true)
        .include_imports(true)
        .open_files(&files)?
        .file_descriptor_set();
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;

    // Message, then package: a comment of the proto becomes the documentation of the type.
    let mut packages: Vec<String> = descriptors
        .file
        .iter()
        .map(|file| file.package().to_owned())
        .filter(|it| it.starts_with("perennial."))
        .collect();
    packages.dedup();
    tonic_prost_build::configure().bytes(".perennial.feed.v1.Record.payload").compile_fds(descriptors)?;

    let mut modules = String::new();
    packages.sort();
    packages.dedup();
    for package in packages {
        let area = package.trim_start_matches("perennial.").trim_end_matches(".v1");
        modules.push_str(&format!(
            "#[doc = \"`{package}`\"] pub mod {area} {{ #[doc = \"`{package}`\"] pub mod v1 {{ tonic::include_proto!(\"{package}\"); }} }}\n"
        ));
    }
    std::fs::write(out.join("modules.rs"), modules)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|it| it == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
