//! RealPass in a page: the crate `pass-wasm` built for WebAssembly and run in Chromium, whose
//! presentations are verified natively. For `cargo xtask bench` and `cargo xtask test`.

use std::path::Path;

use crate::demo::target_dir;
use crate::shell::{self, Failure, command};

const TARGET: &str = "wasm32-unknown-unknown";

/// Makes and verifies `proofs` presentations. Answers what the example prints.
pub fn run(root: &Path, proofs: usize) -> Result<String, Failure> {
    let cargo = shell::cargo();
    let arguments = [
        "build",
        "--package",
        "realdid-pass-wasm",
        "--lib",
        "--target",
        TARGET,
    ];
    let mut build = command(root, &cargo, &arguments);
    build
        .env("CC_wasm32_unknown_unknown", "clang")
        .env("AR_wasm32_unknown_unknown", "llvm-ar");
    shell::run(build)?;
    let module = target_dir(root)
        .join(TARGET)
        .join("debug/realdid_pass_wasm.wasm");
    let (module, proofs) = (module.to_string_lossy(), proofs.to_string());
    let example = [
        "run",
        "--quiet",
        "-p",
        "realdid-pass-wasm",
        "--example",
        "chromium",
        "--",
    ];
    let mut example = command(root, &cargo, &example);
    example.args(["--wasm", &module, "--proofs", &proofs]);
    shell::output(example)
}
