//! Generates the gRPC code of `proto/`, without `protoc`.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Asked when it runs: a target folder that several clones share keeps this program of the first one.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets CARGO_MANIFEST_DIR")?;
    let folder = Path::new(&package).join("../../proto");
    println!("cargo::rerun-if-changed={}", folder.display());
    let files = protox::compile([folder.join("peer.proto")], [&folder])?;
    tonic_prost_build::configure().bytes(".").compile_fds(files)?;
    Ok(())
}
