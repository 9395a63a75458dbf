//! Sealed secrets, opened again as the cluster's controller does it: with the private key, by `openssl`.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::Value;

const MANIFEST: &str = "
name: shop
services:
  web: { image: 'web:1', environment: { API_TOKEN: correct-horse, MODE: plain } }
";

/// What `openssl` says, when it is there.
fn openssl(folder: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

fn hoist(folder: &Path, arguments: &[&str]) -> (bool, String, String) {
    let mut hoist = assert_cmd::Command::cargo_bin("hoist").expect("the binary is built");
    hoist.env_clear().current_dir(folder).args(["export", "kubernetes", "--stdout"]).args(arguments);
    let output = hoist.output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// The value that is sealed under a label.
fn opened(folder: &Path, sealed: &str, label: &str) -> Vec<u8> {
    let bytes = BASE64_STANDARD.decode(sealed).expect("base64");
    let length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    fs::write(folder.join("wrapped"), &bytes[2..2 + length]).expect("a file");
    let hex: String = label.bytes().map(|byte| format!("{byte:02x}")).collect();
    let label = format!("rsa_oaep_label:{hex}");
    let arguments = [
        "pkeyutl",
        "-decrypt",
        "-inkey",
        "key.pem",
        "-in",
        "wrapped",
        "-pkeyopt",
        "rsa_padding_mode:oaep",
        "-pkeyopt",
        "rsa_oaep_md:sha256",
        "-pkeyopt",
        "rsa_mgf1_md:sha256",
        "-pkeyopt",
        &label,
    ];
    let session = openssl(folder, &arguments).expect("openssl is there");
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &session).expect("a key of 32 bytes"));
    let mut rest = bytes[2 + length..].to_vec();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    key.open_in_place(nonce, Aad::empty(), &mut rest).expect("the value is whole").to_vec()
}

#[test]
fn only_the_cluster_reads_a_sealed_value_and_only_under_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    fs::write(folder.join("compose.yaml"), MANIFEST).expect("a manifest");
    let made = openssl(
        folder,
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=sealed",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ],
    );
    if made.is_none() {
        println!("SKIPPED: no openssl here");
        return;
    }
    let sealing = ["--secrets", "sealed", "--sealing-certificate", "cert.pem", "--namespace", "prod"];
    let (success, text, said) = hoist(folder, &sealing);
    assert!(success, "{said}");
    assert!(!text.contains("correct-horse") && !said.contains("supplied"), "{text}\n{said}");
    let objects: Vec<Value> = serde_yaml::Deserializer::from_str(&text)
        .map(|document| serde::Deserialize::deserialize(document).expect("a document"))
        .collect();
    let sealed = objects.iter().find(|object| object["kind"] == "SealedSecret").expect("one is sealed");
    assert_eq!(sealed["spec"]["template"]["metadata"]["name"], "web-env");
    let value = sealed["spec"]["encryptedData"]["API_TOKEN"].as_str().expect("a text");
    assert_eq!(opened(folder, value, "prod/web-env"), b"correct-horse");
    assert!(objects.iter().all(|object| object["kind"] != "Secret"));
}

#[test]
fn what_cannot_be_sealed_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    fs::write(folder.join("compose.yaml"), MANIFEST).expect("a manifest");
    let (success, _, said) = hoist(folder, &["--secrets", "sealed"]);
    assert!(!success && said.contains("--sealing-certificate"), "{said}");
    fs::write(folder.join("cert.pem"), "no certificate").expect("a file");
    let sealing = ["--secrets", "sealed", "--sealing-certificate", "cert.pem"];
    let (success, _, said) = hoist(folder, &sealing);
    assert!(!success && said.contains("there is no certificate in it") && said.contains("kubeseal"), "{said}");
}
