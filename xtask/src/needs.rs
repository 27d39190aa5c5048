//! What this machine must have, and how it gets it. Nothing is installed without saying so, and
//! where it cannot be installed the exact line to run is printed.

use std::fs;
use std::path::Path;

use crate::shell::{self, Failure, command};

/// The oldest kernel on which the state store (NOMT) runs.
const OLDEST_LINUX: (u32, u32) = (6, 0);

/// The state store panics without io_uring, so it is checked before anything is built.
pub fn io_uring() -> Result<(), Failure> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if kernel_version(&release).is_none_or(|version| version < OLDEST_LINUX) {
        return Err(Failure::Missing {
            what: format!(
                "the state store needs Linux 6.0 or newer; this is `{}`",
                release.trim()
            ),
            fix: "run this on a machine with a newer kernel".to_owned(),
        });
    }
    match io_uring::IoUring::new(2) {
        Ok(_) => Ok(()),
        Err(error) => {
            let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
            let fix = match disabled.unwrap_or_default().trim() {
                "" | "0" => "allow io_uring in this container's seccomp profile",
                _ => "sudo sysctl kernel.io_uring_disabled=0",
            };
            Err(Failure::Missing {
                what: format!(
                    "the state store needs io_uring, which this machine refuses ({error})"
                ),
                fix: fix.to_owned(),
            })
        }
    }
}

/// `6.18.44-custom` → (6, 18).
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release
        .trim()
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// SQLite and BLS12-381 are C: a compiler with the C library's headers is needed.
pub fn c_compiler(root: &Path) -> Result<(), Failure> {
    if compiles_c(root) {
        return Ok(());
    }
    const LINE: &str =
        "apt-get update && apt-get install -y --no-install-recommends build-essential";
    let missing = || Failure::Missing {
        what: "a C compiler with headers is needed (for SQLite and BLS12-381)".to_owned(),
        fix: format!("sudo sh -c '{LINE}'"),
    };
    if !is_root(root) || !shell::succeeds(command(root, "apt-get", &["--version"])) {
        return Err(missing());
    }
    println!("Installing a C compiler (for SQLite and BLS12-381): {LINE}");
    shell::run(command(root, "sh", &["-c", LINE])).map_err(|_| missing())?;
    if compiles_c(root) {
        Ok(())
    } else {
        Err(missing())
    }
}

fn compiles_c(root: &Path) -> bool {
    const TRY: &str = "printf '#include <stdlib.h>\\nint main(void) { return 0; }\\n' \
                       | ${CC:-cc} -x c - -o /dev/null";
    shell::succeeds(command(root, "sh", &["-c", TRY]))
}

/// Tests and benches start a PostgreSQL of their own, from the programs of Debian's package.
pub fn postgresql(root: &Path) -> Result<(), Failure> {
    let present = || {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
        let mut programs = versions
            .flatten()
            .map(|entry| entry.path().join("bin/initdb"));
        programs.any(|initdb| initdb.is_file())
    };
    if present() {
        return Ok(());
    }
    const LINE: &str = "apt-get update && apt-get install -y --no-install-recommends postgresql";
    let missing = || Failure::Missing {
        what: "PostgreSQL's programs are needed (for the authority's store)".to_owned(),
        fix: format!("sudo sh -c '{LINE}'"),
    };
    if !is_root(root) {
        return Err(missing());
    }
    println!("Installing PostgreSQL (for the authority's store): {LINE}");
    shell::run(command(root, "sh", &["-c", LINE])).map_err(|_| missing())?;
    present().then_some(()).ok_or_else(missing)
}

/// OpenSSL's command, against which SM2 is tested.
pub fn openssl(root: &Path) -> Result<(), Failure> {
    let present = || shell::succeeds(command(root, "openssl", &["version"]));
    if present() {
        return Ok(());
    }
    const LINE: &str = "apt-get update && apt-get install -y --no-install-recommends openssl";
    let missing = || Failure::Missing {
        what: "the openssl command is needed (SM2 is tested against it)".to_owned(),
        fix: format!("sudo sh -c '{LINE}'"),
    };
    if !is_root(root) {
        return Err(missing());
    }
    println!("Installing openssl (SM2 is tested against it): {LINE}");
    shell::run(command(root, "sh", &["-c", LINE])).map_err(|_| missing())
}

fn is_root(root: &Path) -> bool {
    shell::output(command(root, "id", &["-u"])).is_ok_and(|id| id.trim() == "0")
}

/// Whether tests run under cargo-nextest (one process a test) or, without it, under `cargo test`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Runner {
    Nextest,
    CargoTest,
}

/// Finds or installs cargo-nextest. Tests run without it too, so its absence is no failure.
pub fn runner(root: &Path) -> Runner {
    let cargo = shell::cargo();
    let present = || shell::succeeds(command(root, &cargo, &["nextest", "--version"]));
    if present() {
        return Runner::Nextest;
    }
    println!(
        "Installing cargo-nextest, which runs each test in a process of its own (minutes, once):"
    );
    let install = command(root, &cargo, &["install", "cargo-nextest", "--locked"]);
    if shell::run(install).is_ok() && present() {
        return Runner::Nextest;
    }
    println!("cargo-nextest could not be installed; going on with `cargo test`.");
    Runner::CargoTest
}

/// Formatting is part of tidy, and rustfmt is a component that a minimal toolchain lacks.
pub fn rustfmt(root: &Path) -> Result<(), Failure> {
    if shell::succeeds(command(root, &shell::cargo(), &["fmt", "--version"])) {
        return Ok(());
    }
    println!("Installing rustfmt:");
    shell::run(command(root, "rustup", &["component", "add", "rustfmt"])).map_err(|_| {
        Failure::Missing {
            what: "rustfmt is needed to check the formatting".to_owned(),
            fix: "rustup component add rustfmt".to_owned(),
        }
    })
}

/// What a page in a browser needs: the compiler's target, a C compiler for it (BLS12-381 is C), and
/// Chromium.
pub fn browser(root: &Path) -> Result<(), Failure> {
    let target = ["target", "add", "wasm32-unknown-unknown"];
    if !shell::succeeds(command(root, "rustup", &target)) {
        return Err(Failure::Missing {
            what: "the compiler's target for WebAssembly is needed".to_owned(),
            fix: format!("rustup {}", target.join(" ")),
        });
    }
    for (program, package, what) in [
        ("clang", "clang", "a C compiler for WebAssembly"),
        ("llvm-ar", "llvm", "an archiver for WebAssembly"),
        ("chromium", "chromium", "a browser without a window"),
    ] {
        let present = || shell::succeeds(command(root, program, &["--version"]));
        if present() {
            continue;
        }
        let line =
            format!("apt-get update && apt-get install -y --no-install-recommends {package}");
        let missing = || Failure::Missing {
            what: format!("{what} is needed"),
            fix: format!("sudo sh -c '{line}'"),
        };
        if !is_root(root) {
            return Err(missing());
        }
        println!("Installing {what}: {line}");
        shell::run(command(root, "sh", &["-c", &line])).map_err(|_| missing())?;
        if !present() {
            return Err(missing());
        }
    }
    Ok(())
}

/// Installs the packages that `folder` locks and nothing newer, without running any package's
/// scripts. Other people's programs run on Node, nothing of ours.
pub fn npm_packages(root: &Path, folder: &str) -> Result<(), Failure> {
    if !shell::succeeds(command(root, "npm", &["--version"])) {
        return Err(Failure::Missing {
            what: format!("Node 20 with npm is needed for the packages in {folder}"),
            fix: "sudo apt-get install nodejs npm".to_owned(),
        });
    }
    let path = root.join(folder);
    let stamp = path.join("node_modules/.package-lock.json");
    if is_newer(&stamp, &path.join("package-lock.json")) {
        return Ok(());
    }
    println!("Installing packages into {folder}/node_modules:");
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    shell::run(command(&path, "npm", &arguments))
}

/// Installs the Python packages that `requirements` pins into an environment of their own.
pub fn python_packages(root: &Path, environment: &str, requirements: &str) -> Result<(), Failure> {
    let stamp = root.join(environment).join(".installed");
    if is_newer(&stamp, &root.join(requirements)) {
        return Ok(());
    }
    println!("Installing {requirements} into {environment}:");
    let make = || command(root, "python3", &["-m", "venv", "--clear", environment]);
    if !shell::succeeds(make()) {
        const LINE: &str =
            "apt-get update && apt-get install -y --no-install-recommends python3-venv";
        let missing = || Failure::Missing {
            what:
                "Python 3 with its venv module is needed for the packages of other people's making"
                    .to_owned(),
            fix: format!("sudo sh -c '{LINE}'"),
        };
        if !is_root(root) {
            return Err(missing());
        }
        println!("Installing Python's venv module: {LINE}");
        shell::run(command(root, "sh", &["-c", LINE])).map_err(|_| missing())?;
        shell::run(make())?;
    }
    let pip = format!("{environment}/bin/pip");
    let pip = root.join(pip);
    let arguments = ["install", "--quiet", "--requirement", requirements];
    shell::run(command(root, &pip.to_string_lossy(), &arguments))?;
    fs::write(&stamp, "").map_err(|error| Failure::Unreadable {
        what: environment.to_owned(),
        why: error.to_string(),
    })
}

/// Whether `done` was written after what it was made from.
fn is_newer(done: &Path, from: &Path) -> bool {
    let written = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    written(done).is_some_and(|done| written(from) <= Some(done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions_are_read() {
        assert_eq!(kernel_version("6.18.44-custom\n"), Some((6, 18)));
        assert_eq!(kernel_version("5.4"), Some((5, 4)));
        assert_eq!(kernel_version(""), None);
        assert!((5, 19) < OLDEST_LINUX && (6, 0) >= OLDEST_LINUX);
    }
}
