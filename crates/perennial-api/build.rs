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

    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_source_info(true).include_imports(true).open_files(&files)?;
    let descriptors = compiler.file_descriptor_set();
    // Encoded by the compiler: prost's own form of the descriptors loses the options that are ours.
    let encoded = compiler.encode_file_descriptor_set();
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(out.join("scopes.rs"), scopes(&encoded)?)?;
    std::fs::write(out.join("descriptors.bin"), encoded)?;

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

/// Which scope each method of ours needs, as it says in the proto, in the order of their paths.
fn scopes(descriptors: &[u8]) -> Result<String> {
    let pool = prost_reflect::DescriptorPool::decode(descriptors)?;
    let option =
        pool.get_extension_by_name("perennial.access.v1.scope").ok_or("there is no option of that name")?;
    let scope = pool.get_enum_by_name("perennial.access.v1.Scope").ok_or("there is no enum of that name")?;
    let mut lines = std::collections::BTreeMap::new();
    for service in pool.services().filter(|it| it.full_name().starts_with("perennial.")) {
        for method in service.methods() {
            let path = format!("/{}/{}", service.full_name(), method.name());
            let number = method.options().get_extension(&option).as_enum_number().unwrap_or_default();
            let name = scope.get_value(number).ok_or("an unknown scope")?.name().to_owned();
            if number == 0 {
                return Err(format!(
                    "{path} says no scope: add option (perennial.access.v1.scope) = SCOPE_…;"
                )
                .into());
            }
            let variant = name.trim_start_matches("SCOPE_").to_lowercase();
            let variant = format!("{}{}", variant[..1].to_uppercase(), &variant[1..]);
            lines.insert(path, variant);
        }
    }
    let lines: Vec<String> = lines
        .into_iter()
        .map(|(path, variant)| format!("    ({path:?}, access::v1::Scope::{variant}),\n"))
        .collect();
    Ok(format!("&[\n{}]\n", lines.concat()))
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
