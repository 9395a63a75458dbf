//! What was built to a client: as one tar, or file by file (fsutil's protocol, the other way round).

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bollard_buildkit_proto::moby::filesync::packet::file_send_client::FileSendClient as FilesClient;
use bollard_buildkit_proto::moby::filesync::v1::BytesMessage;
use bollard_buildkit_proto::moby::filesync::v1::file_send_client::FileSendClient as TarClient;
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Output;
use super::sessions::{Session, origin, refused};
use crate::embedded::ByteStream;
use crate::embedded::build::context::{Context, Entry, Kind};
use crate::embedded::build::{Builder, Product};
use crate::embedded::error::Error;

/// The method by which a client takes what was built.
const METHOD: &str = "/moby.filesync.v1.FileSend/DiffCopy";
/// Bytes of a file that are sent at once.
const PIECE: usize = 32 << 10;
/// Pieces that wait for the client.
const QUEUE: usize = 32;

/// Sends what was built.
pub(super) async fn result(
    builder: &Builder,
    session: &Session,
    product: &Product,
    output: &Output,
) -> Result<(), Error> {
    if !session.offers(METHOD) {
        return Err(Error::Invalid("the client takes no files".into()));
    }
    let mut unpacked = builder.files(product).await?;
    let stream = unpacked.tar();
    if *output == Output::Tar {
        return tar(session, stream).await;
    }
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    let received = Context::receive(stream, unpacked.room().join("files"), cancel.clone()).await?;
    files(session, &received).await
}

async fn tar(session: &Session, mut tar: ByteStream) -> Result<(), Error> {
    let (sender, mut queue) = mpsc::channel(QUEUE);
    let pieces = stream::poll_fn(move |context| queue.poll_recv(context));
    // That it breaks off ends the sending as well: the client must not take half for the whole.
    let read = async {
        let sender = sender;
        while let Some(piece) = tar.next().await {
            let data = piece.map_err(Error::io("read what was built"))?.to_vec();
            if sender.send(BytesMessage { data }).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    let take = async {
        let told = |status| refused("take the result", &status);
        let answers = TarClient::with_origin(session.line(), origin()).diff_copy(pieces).await;
        let mut answers = answers.map_err(told)?.into_inner();
        while answers.message().await.map_err(told)?.is_some() {}
        Ok(())
    };
    tokio::try_join!(read, take).map(drop)
}

async fn files(session: &Session, files: &Context) -> Result<(), Error> {
    let spool = File::open(files.spool()).map_err(Error::io("read what was built"))?;
    let entries = in_order(files);
    let (sender, mut queue) = mpsc::channel::<Packet>(QUEUE);
    let packets = stream::poll_fn(move |context| queue.poll_recv(context));
    let announce = async {
        for (path, entry) in &entries {
            let stat = Some(stat(path, entry));
            send(&sender, Packet { r#type: PacketType::PacketStat.into(), stat, ..Packet::default() }).await;
        }
        send(&sender, Packet { r#type: PacketType::PacketStat.into(), ..Packet::default() }).await;
        Ok(())
    };
    let serve = async {
        let told = |status| refused("take the result", &status);
        let answers = FilesClient::with_origin(session.line(), origin()).diff_copy(packets).await;
        let mut answers = answers.map_err(told)?.into_inner();
        while let Some(packet) = answers.message().await.map_err(told)? {
            match packet.r#type() {
                PacketType::PacketReq => file(&sender, &spool, packet.id, &entries).await?,
                PacketType::PacketFin => {
                    send(&sender, Packet { r#type: PacketType::PacketFin.into(), ..Packet::default() }).await;
                    return Ok(());
                }
                PacketType::PacketErr => {
                    let text = String::from_utf8_lossy(&packet.data).into_owned();
                    return Err(told(tonic::Status::unknown(text)));
                }
                PacketType::PacketStat | PacketType::PacketData => {}
            }
        }
        Err(told(tonic::Status::unavailable("it ended early")))
    };
    tokio::try_join!(announce, serve).map(drop)
}

/// Sends the contents of the file with a number.
async fn file(sender: &mpsc::Sender<Packet>, spool: &File, id: u32, entries: &[(&str, &Entry)]) -> Result<(), Error> {
    let entry = usize::try_from(id).ok().and_then(|index| entries.get(index));
    let Some((_, Entry { kind: Kind::File { offset, size, .. }, .. })) = entry else {
        return Err(Error::Invalid(format!("the client asks for the file {id}, which there is not")));
    };
    let mut at = 0;
    while at < *size {
        let length = usize::try_from(*size - at).map_or(PIECE, |left| left.min(PIECE));
        let mut data = vec![0; length];
        spool.read_exact_at(&mut data, *offset + at).map_err(Error::io("read what was built"))?;
        at += length as u64;
        send(sender, Packet { r#type: PacketType::PacketData.into(), id, data, ..Packet::default() }).await;
    }
    send(sender, Packet { r#type: PacketType::PacketData.into(), id, ..Packet::default() }).await;
    Ok(())
}

async fn send(sender: &mpsc::Sender<Packet>, packet: Packet) {
    // Nobody there: the answers end too, and say why.
    let _ = sender.send(packet).await;
}

/// In the order in which a client expects to hear of them: what lies in a folder before what comes after it.
fn in_order(files: &Context) -> Vec<(&str, &Entry)> {
    let mut entries: Vec<_> = files.entries().collect();
    entries.sort_by(|(one, _), (other, _)| one.split('/').cmp(other.split('/')));
    entries
}

fn stat(path: &str, entry: &Entry) -> Stat {
    let special = [(0o4000, 23), (0o2000, 22), (0o1000, 20)];
    let special = special.iter().filter(|(flag, _)| entry.mode & flag != 0).map(|(_, bit)| 1_u32 << bit);
    let permissions = special.fold(entry.mode & 0o777, |mode, bit| mode | bit);
    let (kind, size, linkname) = match &entry.kind {
        Kind::Folder => (1 << 31, 0, String::new()),
        Kind::Link(target) => (1 << 27, 0, target.clone()),
        Kind::File { size, .. } => (0, *size, String::new()),
    };
    Stat {
        path: path.to_owned(),
        mode: kind | permissions,
        size: i64::try_from(size).unwrap_or(i64::MAX),
        mod_time: entry.mtime.saturating_mul(1_000_000_000),
        linkname,
        ..Stat::default()
    }
}
