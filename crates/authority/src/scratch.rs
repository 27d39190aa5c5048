//! A PostgreSQL of one's own, for tests and benches: a server in a folder, reached by a socket file
//! and no network, that ends with the value and with this process.
//!
//! The server refuses to run as root. Where we are root it runs as the user `postgres`, whom
//! Debian's package makes.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const READY_WAIT: Duration = Duration::from_secs(60);
/// Where Debian puts the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Starts the server and ends it, in order, when its own standard input ends.
const WATCH: &str = r#""$@" & server=$!; cat >/dev/null; kill -INT $server; wait $server"#;

/// A running server.
pub struct Postgres {
    watch: Child,
    folder: PathBuf,
    programs: PathBuf,
}

impl Postgres {
    /// Makes a cluster in `folder`, which must exist and be empty, and starts it. Without `durable`
    /// it does not wait for the disk.
    pub fn start(folder: &Path, durable: bool) -> io::Result<Self> {
        let programs = programs()?;
        let user = user(folder)?;
        let data = folder.join("data");
        let mut init = as_user(&user, &programs.join("initdb"));
        init.arg("--pgdata")
            .arg(&data)
            .args(["--username=authority", "--auth=trust", "--encoding=UTF8"])
            .args(["--no-locale", "--no-sync", "--no-instructions"]);
        done(init)?;
        let server = as_user(&user, &programs.join("postgres"));
        let mut watch = Command::new("sh");
        watch.args(["-c", WATCH, "sh"]).arg(server.get_program());
        watch.args(server.get_args()).arg("-D").arg(&data);
        watch
            .arg("-k")
            .arg(folder)
            .args(["-c", "listen_addresses="]);
        watch.args(["-c", "max_connections=200"]);
        if !durable {
            watch.args(["-c", "fsync=off", "-c", "synchronous_commit=off"]);
        }
        let log = std::fs::File::create(folder.join("log"))?;
        let watch = watch
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let server = Self {
            watch,
            folder: folder.to_owned(),
            programs,
        };
        let until = Instant::now() + READY_WAIT;
        while server.sql("postgres", "SELECT 1").is_err() {
            if Instant::now() > until {
                return Err(io::Error::other("PostgreSQL does not answer"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    /// Makes an empty database and answers its URL.
    pub fn database(&self, name: &str) -> io::Result<String> {
        self.sql("postgres", &format!("CREATE DATABASE {name}"))?;
        let folder: String =
            url::form_urlencoded::byte_serialize(self.folder.to_string_lossy().as_bytes())
                .collect();
        Ok(format!("postgres:///{name}?host={folder}&user=authority"))
    }

    /// Runs statements, and answers what they print, without headers.
    pub fn sql(&self, database: &str, statements: &str) -> io::Result<String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--set", "ON_ERROR_STOP=1", "--username=authority"])
            .arg("--host")
            .arg(&self.folder)
            .arg("--dbname")
            .arg(database)
            .args(["--command", statements]);
        done(psql)
    }

    /// The process whose children are the server's.
    pub fn pid(&self) -> u32 {
        self.watch.id()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        let _reaped = self.watch.wait();
    }
}

/// The newest version's programs.
fn programs() -> io::Result<PathBuf> {
    let missing = || io::Error::other("PostgreSQL is not installed: apt-get install postgresql");
    let mut versions: Vec<PathBuf> = std::fs::read_dir(VERSIONS)
        .map_err(|_| missing())?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|path| path.join("initdb").is_file())
        .collect();
    versions.sort();
    versions.pop().ok_or_else(missing)
}

/// Who runs the server, if not we ourselves; the folder becomes theirs.
fn user(folder: &Path) -> io::Result<Option<u32>> {
    use std::os::unix::fs::MetadataExt as _;
    if std::fs::metadata(folder)?.uid() != 0 {
        return Ok(None);
    }
    let passwd = std::fs::read_to_string("/etc/passwd")?;
    let line = passwd.lines().find(|line| line.starts_with("postgres:"));
    let id = line.and_then(|line| line.split(':').nth(2)?.parse().ok());
    let id = id.ok_or_else(|| io::Error::other("there is no user postgres to run it as"))?;
    std::os::unix::fs::chown(folder, Some(id), None)?;
    Ok(Some(id))
}

fn as_user(user: &Option<u32>, program: &Path) -> Command {
    match user {
        None => Command::new(program),
        Some(id) => {
            let mut command = Command::new("setpriv");
            command
                .arg(format!("--reuid={id}"))
                .args(["--clear-groups", "--"])
                .arg(program);
            command
        }
    }
}

fn done(mut command: Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(io::Error::other(said));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
