//! `cargo xtask cert`: a certificate for development, so that a phone on the same network can reach
//! what runs here over HTTPS. Never for anything that others rely on.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use crate::shell::{self, Failure, command};

const DIR: &str = ".realdid/tls";
/// Days. Short, because nobody revokes it.
const LIFE: &str = "30";

/// Makes key and certificate for `hosts`, names or addresses; localhost is always among them.
pub fn run(root: &Path, hosts: &[String]) -> Result<(), Failure> {
    if !shell::succeeds(command(root, "openssl", &["version"])) {
        return Err(Failure::Missing {
            what: "openssl makes the certificate".to_owned(),
            fix: "sudo apt-get install openssl".to_owned(),
        });
    }
    let dir = root.join(DIR);
    fs::create_dir_all(&dir).map_err(|error| Failure::Unreadable {
        what: DIR.to_owned(),
        why: error.to_string(),
    })?;
    let (cert, key) = (format!("{DIR}/chain.pem"), format!("{DIR}/key.pem"));
    let names = format!("subjectAltName={}", alternative_names(hosts));
    let mut make = command(root, "openssl", &["req", "-x509", "-nodes"]);
    make.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    make.args(["-days", LIFE, "-subj", "/CN=RealDID development"]);
    make.args(["-addext", &names, "-keyout", &key, "-out", &cert]);
    shell::run(make)?;
    println!(
        "For {LIFE} days: --tls-cert {cert} --tls-key {key}\n\
         A device trusts it once {cert} is installed there; remove it when you are done."
    );
    Ok(())
}

fn alternative_names(hosts: &[String]) -> String {
    let name = |host: &str| match host.parse::<IpAddr>() {
        Ok(address) => format!("IP:{address}"),
        Err(_) => format!("DNS:{host}"),
    };
    let always = ["localhost", "127.0.0.1"].map(name);
    let given = hosts.iter().map(|host| name(host));
    always
        .into_iter()
        .chain(given)
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_the_hosts_and_this_machine() {
        let names = alternative_names(&["192.168.1.7".to_owned(), "laptop.local".to_owned()]);
        assert_eq!(
            names,
            "DNS:localhost,IP:127.0.0.1,IP:192.168.1.7,DNS:laptop.local"
        );
    }
}
