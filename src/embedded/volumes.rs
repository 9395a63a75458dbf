//! Volumes: a folder each below [`Layout::volumes`], with a record beside it.
//!
//! `NAME/volume.json` says what was asked for, `NAME/_data` has the files. A volume with the options `type=none`,
//! `o=bind`, `device=/a/folder` (Docker's local driver) is that folder itself.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bollard_stubs::models::{EventMessageTypeEnum, Volume, VolumeCreateRequest, VolumeScopeEnum, VolumeUsageData};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::events::Events;
use super::layout::Layout;
use super::{id, root};

/// The label with which Docker marks volumes that nobody has named.
pub const ANONYMOUS: &str = "com.docker.volume.anonymous";
/// The only driver.
const DRIVER: &str = "local";
/// The record of a volume, beside its files.
const RECORD: &str = "volume.json";
/// The folder with the files of a volume.
const DATA: &str = "_data";
/// The longest name; a folder's.
const LONGEST_NAME: usize = 255;

/// The engine's volumes; clones share them.
#[derive(Debug, Clone)]
pub struct Volumes {
    layout: Layout,
    events: Events,
    known: Arc<Mutex<BTreeMap<String, Record>>>,
}

/// What is known of a volume beside its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    name: String,
    created: DateTime<Utc>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    options: BTreeMap<String, String>,
}

#[expect(clippy::unused_async, reason = "whoever asks is ready to wait, whatever an answer takes")]
impl Volumes {
    /// Those of the folders.
    pub async fn open(layout: &Layout, events: Events) -> Result<Self, Error> {
        let folder = layout.volumes();
        let read = tokio::task::spawn_blocking(move || load(&folder)).await;
        let known = read.map_err(|error| Error::Failed(format!("cannot read the volumes: {error}")))??;
        Ok(Self { layout: layout.clone(), events, known: Arc::new(Mutex::new(known)) })
    }

    /// Makes one, or returns the one that has the name. Without a name it gets a random one and is anonymous.
    pub async fn create(&self, request: VolumeCreateRequest) -> Result<Volume, Error> {
        let driver = request.driver.filter(|driver| !driver.is_empty());
        if let Some(driver) = driver.filter(|driver| driver != DRIVER && driver != "default") {
            return Err(Error::NotFound(format!(
                "error looking up volume plugin {driver}: plugin \"{driver}\" not found"
            )));
        }
        let mut labels: BTreeMap<String, String> = request.labels.unwrap_or_default().into_iter().collect();
        let name = if let Some(name) = request.name.filter(|name| !name.is_empty()) {
            check_name(&name)?;
            name
        } else {
            labels.entry(ANONYMOUS.to_owned()).or_default();
            id::random()
        };
        let options: BTreeMap<String, String> = request.driver_opts.unwrap_or_default().into_iter().collect();
        check_options(&options)?;
        if let Some(known) = self.known().get(&name) {
            if !options.is_empty() && known.options != options {
                let message =
                    format!("a volume named {name} is there with other options: remove it, or take another name");
                return Err(Error::Conflict(message));
            }
            return Ok(self.describe(known));
        }
        let record = Record { name: name.clone(), created: Utc::now(), labels, options };
        let (folder, written) = (self.layout.volumes().join(&name), record.clone());
        let made = tokio::task::spawn_blocking(move || write(&folder, &written)).await;
        made.map_err(|error| Error::Failed(format!("cannot make the volume {name}: {error}")))??;
        // Two that make it at the same time write the same; the first to get here tells of it.
        let record = match self.known().entry(name.clone()) {
            std::collections::btree_map::Entry::Occupied(entry) => return Ok(self.describe(entry.get())),
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(record).clone(),
        };
        self.tell("create", &name, &[]);
        Ok(self.describe(&record))
    }

    /// One by name.
    pub async fn inspect(&self, name: &str) -> Result<Volume, Error> {
        let known = self.known();
        known.get(name).map(|record| self.describe(record)).ok_or_else(|| missing(name))
    }

    /// All.
    pub async fn list(&self) -> Result<Vec<Volume>, Error> {
        Ok(self.known().values().map(|record| self.describe(record)).collect())
    }

    /// Removes one that no container has; who has one is the caller's to know.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        if !self.known().contains_key(name) {
            return Err(missing(name));
        }
        let folder = self.layout.volumes().join(name);
        // Out of the way first: what is removed half-way is no volume any more.
        let record = folder.join(RECORD);
        match tokio::fs::remove_file(&record).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(format!("remove {}", record.display()))(error));
            }
            _ => {}
        }
        let known = self.known().remove(name);
        root::remove(&folder).await?;
        if known.is_some() {
            self.tell("destroy", name, &[]);
        }
        Ok(())
    }

    /// The folder with its files.
    pub async fn folder(&self, name: &str) -> Result<PathBuf, Error> {
        let known = self.known();
        known.get(name).map(|record| self.data(record)).ok_or_else(|| missing(name))
    }

    /// How much of the disk it takes, and `containers` as those that have it (`GET /system/df`).
    pub async fn usage(&self, name: &str, containers: usize) -> Result<VolumeUsageData, Error> {
        let folder = self.folder(name).await?;
        let size = tokio::task::spawn_blocking(move || disk_size(&folder)).await.unwrap_or(0);
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Ok(VolumeUsageData { size: count(size), ref_count: count(containers as u64) })
    }

    /// Tells that a container begins to use it, or does so no longer.
    pub(super) fn tell_mount(&self, action: &str, name: &str, container: &str, destination: &str, read_write: bool) {
        let read_write = read_write.to_string();
        let attributes = [("container", container), ("destination", destination), ("read/write", read_write.as_str())];
        let attributes: &[(&str, &str)] = if action == "mount" { &attributes } else { &attributes[..1] };
        self.tell(action, name, attributes);
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Record>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn data(&self, record: &Record) -> PathBuf {
        match record.options.get("device") {
            Some(device) => PathBuf::from(device),
            None => self.layout.volumes().join(&record.name).join(DATA),
        }
    }

    fn describe(&self, record: &Record) -> Volume {
        Volume {
            name: record.name.clone(),
            driver: DRIVER.to_owned(),
            mountpoint: self.layout.volumes().join(&record.name).join(DATA).to_string_lossy().into_owned(),
            created_at: Some(record.created),
            labels: record.labels.clone().into_iter().collect(),
            scope: Some(VolumeScopeEnum::LOCAL),
            options: record.options.clone().into_iter().collect(),
            ..Default::default()
        }
    }

    fn tell(&self, action: &str, name: &str, attributes: &[(&str, &str)]) {
        let mut all: HashMap<String, String> = HashMap::from([("driver".to_owned(), DRIVER.to_owned())]);
        all.extend(attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        self.events.tell(EventMessageTypeEnum::VOLUME, action, name, all);
    }
}

/// Whether a volume can have this name: a folder's below the engine's own, and nothing else.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let mut letters = name.chars();
    let first = letters.next().is_some_and(|letter| letter.is_ascii_alphanumeric());
    let rest = letters.all(|letter| letter.is_ascii_alphanumeric() || "_.-".contains(letter));
    if name.len() < 2 && first {
        return Err(Error::Invalid(
            "volume name is too short, names should be at least two alphanumeric characters".into(),
        ));
    }
    if first && rest && name.len() <= LONGEST_NAME {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "create {name}: \"{name}\" includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
    )))
}

fn missing(name: &str) -> Error {
    Error::NotFound(format!("get {name}: no such volume"))
}

/// Only a folder of the machine can stand behind a volume.
fn check_options(options: &BTreeMap<String, String>) -> Result<(), Error> {
    if options.is_empty() {
        return Ok(());
    }
    if let Some(key) = options.keys().find(|key| !["type", "o", "device"].contains(&key.as_str())) {
        return Err(Error::Invalid(format!("invalid option: \"{key}\"")));
    }
    let get = |key: &str| options.get(key).map_or("", String::as_str);
    let bind = get("o").split(',').any(|word| word == "bind" || word == "rbind");
    if !bind || !["", "none", "bind"].contains(&get("type")) {
        return Err(Error::Unsupported(format!(
            "this engine mounts no volume of type \"{}\": only type=none,o=bind,device=/a/folder; a tmpfs can be mounted \
             in the container itself",
            get("type")
        )));
    }
    let device = Path::new(get("device"));
    if !device.is_absolute() {
        return Err(Error::Invalid("missing device in volume options: device=/a/folder".into()));
    }
    Ok(())
}

/// The records in the folder; one that cannot be read is moved aside.
fn load(folder: &Path) -> Result<BTreeMap<String, Record>, Error> {
    let mut known = BTreeMap::new();
    std::fs::create_dir_all(folder).map_err(Error::io(format!("make {}", folder.display())))?;
    let entries = std::fs::read_dir(folder).map_err(Error::io(format!("read {}", folder.display())))?;
    for entry in entries {
        let entry = entry.map_err(Error::io(format!("read {}", folder.display())))?;
        let path = entry.path().join(RECORD);
        let Ok(name) = entry.file_name().into_string() else { continue };
        match std::fs::read(&path) {
            Ok(text) => match serde_json::from_slice::<Record>(&text) {
                Ok(record) if record.name == name => {
                    known.insert(name, record);
                }
                _ => {
                    tracing::warn!("the record of volume {name} is damaged: it is used without its labels");
                    known.insert(name.clone(), plain(name));
                }
            },
            // A folder without a record is one whose making or removal was cut short.
            Err(error) => tracing::debug!("no volume in {}: {error}", entry.path().display()),
        }
    }
    Ok(known)
}

fn plain(name: String) -> Record {
    Record { name, created: Utc::now(), labels: BTreeMap::new(), options: BTreeMap::new() }
}

fn write(folder: &Path, record: &Record) -> Result<(), Error> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    let data = folder.join(DATA);
    let make = |path: &Path, mode| std::fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    make(folder, 0o701).map_err(Error::io(format!("make {}", folder.display())))?;
    make(&data, 0o755).map_err(Error::io(format!("make {}", data.display())))?;
    // Whatever mask the engine was started with.
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755))
        .map_err(Error::io(format!("make {}", data.display())))?;
    let text = serde_json::to_vec(record).map_err(|error| Error::Failed(format!("cannot write a record: {error}")))?;
    let temporary = folder.join(format!("{RECORD}.{}", &id::random()[..8]));
    std::fs::write(&temporary, text)
        .and_then(|()| std::fs::rename(&temporary, folder.join(RECORD)))
        .map_err(Error::io(format!("write the record of volume {}", record.name)))
}

/// Bytes that a tree takes on the disk; links are not followed, what goes meanwhile is not counted.
pub(super) fn disk_size(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let mut size = 0;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            // Of the entry itself, also where it is a link.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                size += metadata.blocks() * 512;
            }
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard_stubs::models::VolumeCreateRequest;

    use super::{ANONYMOUS, Volumes, check_name};
    use crate::embedded::error::Error;
    use crate::embedded::events::Events;
    use crate::embedded::layout::Layout;

    fn named(name: &str) -> VolumeCreateRequest {
        VolumeCreateRequest { name: Some(name.to_owned()), ..Default::default() }
    }

    #[test]
    fn names_stay_inside_the_folder() {
        for good in ["data", "a_b-c.d", "0x"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "-a", "a b", "a\0b", "ä1"] {
            assert!(matches!(check_name(bad), Err(Error::Invalid(_))), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_volume_is_made_once_and_found_again() {
        let home = tempfile::tempdir().expect("a folder");
        let layout = Layout::new(Some(home.path()));
        let volumes = Volumes::open(&layout, Events::default()).await.expect("opens");
        let first = volumes.create(named("data")).await.expect("made");
        assert_eq!(volumes.create(named("data")).await, Ok(first.clone()));
        let anonymous = volumes.create(VolumeCreateRequest::default()).await.expect("made");
        assert_eq!(anonymous.name.len(), 64);
        assert!(anonymous.labels.contains_key(ANONYMOUS));
        let again = Volumes::open(&layout, Events::default()).await.expect("opens");
        assert_eq!(again.inspect("data").await, Ok(first));
        assert_eq!(again.list().await.map(|all| all.len()), Ok(2));
        assert!(matches!(again.inspect("other").await, Err(Error::NotFound(_))));
    }

    #[tokio::test]
    async fn a_folder_of_the_machine_can_stand_behind_a_volume_and_nothing_else() {
        let home = tempfile::tempdir().expect("a folder");
        let layout = Layout::new(Some(home.path()));
        let volumes = Volumes::open(&layout, Events::default()).await.expect("opens");
        let with = |options: &[(&str, &str)]| VolumeCreateRequest {
            driver_opts: Some(
                options.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect::<HashMap<_, _>>(),
            ),
            ..named("disk")
        };
        let tmpfs = volumes.create(with(&[("type", "tmpfs"), ("device", "tmpfs")])).await;
        assert!(matches!(tmpfs, Err(Error::Unsupported(_))), "{tmpfs:?}");
        let bind = with(&[("type", "none"), ("o", "bind"), ("device", "/srv")]);
        volumes.create(bind).await.expect("made");
        assert_eq!(volumes.folder("disk").await, Ok("/srv".into()));
    }
}
