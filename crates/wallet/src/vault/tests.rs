use super::*;
use crate::secret::Secret32;
use crate::seed::Pool;

fn content(seed: u8) -> Content {
    Content::new(
        Secret32::new([seed; 32]),
        Pool::default(),
        Secret32::new([seed; 32]),
    )
}

fn open(dir: &Path, passphrase: Option<&str>) -> Result<(Vault, Content), VaultError> {
    Vault::open(dir, passphrase, Duration::ZERO)
}

#[test]
fn opens_what_it_saved_and_keeps_files_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::create(dir.path(), None, &content(1)).unwrap();
    vault.save(&content(2)).unwrap();
    drop(vault);
    assert_eq!(open(dir.path(), None).unwrap().1, content(2));
    for name in ["vault", "device.key", "lock"] {
        let mode = std::fs::metadata(dir.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(matches!(
        Vault::create(dir.path(), None, &content(3)),
        Err(VaultError::Exists(_))
    ));
}

#[test]
fn a_passphrase_is_needed_and_must_be_right() {
    let dir = tempfile::tempdir().unwrap();
    drop(Vault::create(dir.path(), Some("correct horse"), &content(1)).unwrap());
    assert!(!dir.path().join("device.key").exists());
    assert!(open(dir.path(), Some("correct horse")).is_ok());
    assert!(matches!(
        open(dir.path(), None),
        Err(VaultError::PassphraseNeeded)
    ));
    assert!(matches!(
        open(dir.path(), Some("wrong")),
        Err(VaultError::Locked { passphrase: true })
    ));
}

#[test]
fn a_wrong_or_missing_device_key_is_told_apart_and_destroys_nothing() {
    let dir = tempfile::tempdir().unwrap();
    drop(Vault::create(dir.path(), None, &content(1)).unwrap());
    let key = dir.path().join("device.key");
    let kept = std::fs::read(&key).unwrap();
    std::fs::write(&key, [9; 32]).unwrap();
    assert!(matches!(
        open(dir.path(), None),
        Err(VaultError::Locked { passphrase: false })
    ));
    std::fs::write(&key, [9; 31]).unwrap();
    assert!(matches!(
        open(dir.path(), None),
        Err(VaultError::DeviceKey(_))
    ));
    std::fs::remove_file(&key).unwrap();
    assert!(matches!(
        open(dir.path(), None),
        Err(VaultError::DeviceKey(_))
    ));
    std::fs::write(&key, kept).unwrap();
    assert_eq!(open(dir.path(), None).unwrap().1, content(1));
}

#[test]
fn truncated_or_changed_bytes_are_refused_at_every_place() {
    let dir = tempfile::tempdir().unwrap();
    drop(Vault::create(dir.path(), None, &content(1)).unwrap());
    let path = dir.path().join("vault");
    let bytes = std::fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert!(open(dir.path(), None).is_err(), "cut at {length}");
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        std::fs::write(&path, &changed).unwrap();
        assert!(open(dir.path(), None).is_err(), "changed at {at}");
    }
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(open(dir.path(), None).unwrap().1, content(1));
}

/// A vault of before RealPass: it has no such field, reads, and takes the seed from its kit.
#[test]
fn a_vault_without_realpass_reads_and_learns_the_seed_from_its_kit() {
    let dir = tempfile::tempdir().unwrap();
    let (mut wallet, kit) = crate::wallet::Wallet::create(dir.path(), None).unwrap();
    let seed = wallet.content.passes.take().unwrap().seed;
    wallet.content.other_pools = None;
    assert_eq!(
        codec::encode(&wallet.content)[0],
        0x89,
        "nine fields, as before"
    );
    wallet.save().unwrap();
    drop(wallet);
    let mut wallet = crate::wallet::Wallet::open(dir.path()).unwrap();
    assert_eq!(wallet.passes().unwrap_err().code, "pass.no_seed");
    let kit = crate::seed::Kit::read(&kit.unwrap()).unwrap();
    wallet.learn_pass_seed(&kit);
    assert_eq!(wallet.passes().unwrap().seed, seed);
}

#[test]
fn the_vault_shows_none_of_its_content() {
    let dir = tempfile::tempdir().unwrap();
    drop(Vault::create(dir.path(), None, &content(0xab)).unwrap());
    let bytes = std::fs::read(dir.path().join("vault")).unwrap();
    assert!(!bytes.windows(8).any(|window| window == [0xab; 8]));
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = Vault::create(dir.path(), None, &content(1)).unwrap();
    // The lock is of the open file, so a second opening in this process stands for another one.
    assert!(matches!(open(dir.path(), None), Err(VaultError::Busy)));
    drop(first);
    assert!(open(dir.path(), None).is_ok());
}

#[test]
fn p10_a_full_disk_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::create(dir.path(), None, &content(1)).unwrap();
    let next = files::temporary(&dir.path().join("vault"));
    std::os::unix::fs::symlink("/dev/full", &next).unwrap();
    let refused = vault.save(&content(2)).unwrap_err();
    assert_eq!(refused.code(), "file.disk_full");
    drop(vault);
    let (vault, old) = open(dir.path(), None).unwrap();
    assert_eq!(old, content(1));
    vault.save(&content(3)).unwrap();
}

#[test]
fn p10_what_a_crash_left_half_written_is_written_over() {
    let dir = tempfile::tempdir().unwrap();
    drop(Vault::create(dir.path(), None, &content(1)).unwrap());
    std::fs::write(files::temporary(&dir.path().join("vault")), b"half").unwrap();
    let (vault, old) = open(dir.path(), None).unwrap();
    assert_eq!(old, content(1));
    vault.save(&content(2)).unwrap();
    drop(vault);
    assert_eq!(open(dir.path(), None).unwrap().1, content(2));
}

#[test]
fn an_absent_wallet_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        open(dir.path(), None),
        Err(VaultError::Missing(_))
    ));
}
