//! A registry on loopback with one image, behind a password: enough of the distribution API for a pull.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

/// `user:password` that it asks for.
pub(crate) const LOGIN: &str = "me:secret";

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// Starts it; it answers until the test's process ends. Returns its address, which is the host of its images.
pub(crate) fn start(name: &str) -> String {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(name.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, "name", name.as_bytes()).expect("an entry");
    let layer = builder.into_inner().expect("a tar");
    let layer_digest = digest(&layer);
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": { "Labels": { "pulled": name } },
        "rootfs": { "type": "layers", "diff_ids": [layer_digest] },
    });
    let config = config.to_string().into_bytes();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "size": config.len(), "digest": digest(&config) },
        "layers": [{ "mediaType": LAYER, "size": layer.len(), "digest": layer_digest }],
    });
    let manifest = manifest.to_string().into_bytes();
    let mut content = BTreeMap::from([("/v2/".to_owned(), ("text/plain", Vec::new()))]);
    for tag in ["1".to_owned(), digest(&manifest)] {
        content.insert(format!("/v2/{name}/manifests/{tag}"), (MANIFEST, manifest.clone()));
    }
    for blob in [config, layer] {
        content.insert(format!("/v2/{name}/blobs/{}", digest(&blob)), ("application/octet-stream", blob));
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let content = Arc::new(content);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let content = Arc::clone(&content);
            thread::spawn(move || answer(stream, &content));
        }
    });
    address
}

fn answer(mut stream: TcpStream, content: &BTreeMap<String, (&str, Vec<u8>)>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let Ok(request) = lines.next()? else {
        // TLS: an answer in plain text tells the engine to ask in plain text.
        return stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nplain text only\n").ok();
    };
    let wanted = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(LOGIN));
    let mut allowed = false;
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        allowed |= line.split_once(": ").is_some_and(|(_, value)| value == wanted);
    }
    let mut words = request.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    let (status, kind, body) = match content.get(path) {
        _ if !allowed => ("401 Unauthorized", "text/plain", &Vec::new()),
        Some((kind, body)) => ("200 OK", *kind, body),
        None => ("404 Not Found", "text/plain", &Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nDocker-Content-Digest: {}\r\n\
         WWW-Authenticate: Basic realm=\"test\"\r\nConnection: close\r\n\r\n",
        body.len(),
        digest(body),
    );
    stream.write_all(head.as_bytes()).ok()?;
    if method != "HEAD" {
        stream.write_all(body).ok()?;
    }
    Some(())
}

fn digest(bytes: &[u8]) -> String {
    let mut digest = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        write!(digest, "{byte:02x}").expect("a string takes everything");
    }
    digest
}
