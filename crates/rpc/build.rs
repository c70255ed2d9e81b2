//! Generates the gRPC code of `proto/`, without `protoc`.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo::rerun-if-changed={}", folder.display());
    let files = protox::compile([folder.join("peer.proto")], [&folder])?;
    tonic_prost_build::configure().bytes(".").compile_fds(files)?;
    Ok(())
}
