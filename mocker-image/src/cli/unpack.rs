//! `unpack`: an image to a bundle.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::sign::{Signed, Witness};
use super::{Global, Remote, Teller, print};
use crate::bundle::Stage;
use crate::bundle::config::{self, Root};
use crate::bundle::note::{FILES, FOLDER, Note, Way};
use crate::bundle::stack::Stack;
use crate::error::{Context, Error, Kind, Result};
use crate::image::load::load;
use crate::image::pull::{self, Freshness, Which};
use crate::image::tree::layer;
use crate::image::{Image, Source};
use crate::interrupt;
use crate::layer::extract::{Extractor, Manner, Ownership};
use crate::layer::ids::{Ids, Range};
use crate::layer::inventory;
use crate::layer::unpacked::buffered;
use crate::place::Place;
use crate::reference::Reference;
use crate::store::Store;
use crate::store::layers::chain;
use crate::{overlay, userns};

/// Who mounts the overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Overlay {
    /// The runtime, which must know a mount of type overlay at / (mocker-runtime does)
    Runtime,
    /// This command, at once: for any runtime, until `remove BUNDLE` or a restart
    Mounted,
}

#[derive(Debug, clap::Args)]
pub(super) struct Unpack {
    /// The image: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`, or another place, see `copy`
    #[arg(value_name = "IMAGE")]
    place: Place,
    /// The bundle: a directory that is missing or empty
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Share the layers that the store has unpacked (root's default)
    #[arg(long, value_name = "WHO", num_args = 0..=1, default_missing_value = "runtime", require_equals = true)]
    overlay: Option<Overlay>,
    /// Copy the layers into a root file system of the bundle's own
    #[arg(long, conflicts_with = "overlay")]
    copy: bool,
    /// The host's ids for the container's users; may be repeated. The bundle gets a user namespace, and a copy
    #[arg(long, value_name = "CONTAINER:HOST:SIZE", requires = "gid_map", conflicts_with = "overlay")]
    uid_map: Vec<Range>,
    /// The same for groups
    #[arg(long, value_name = "CONTAINER:HOST:SIZE", requires = "uid_map")]
    gid_map: Vec<Range>,
    /// Without root: give the files to the ids that /etc/subuid and /etc/subgid lend you (by newuidmap)
    #[arg(long, conflicts_with_all = ["overlay", "uid_map"])]
    sub_ids: bool,
    /// Where a layer has a directory and a link to one is there, leave the link (and make a copy)
    #[arg(long, conflicts_with = "overlay")]
    keep_dirlinks: bool,
    /// Nobody in the container may write to its root file system
    #[arg(long)]
    read_only: bool,
    #[command(flatten)]
    signed: Signed,
    #[command(flatten)]
    remote: Remote,
}

impl Unpack {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        // The archive's modes are to be the files' modes.
        rustix::process::umask(rustix::fs::Mode::empty());
        let name = || format!("unpack {}", self.place);
        let witness = self.signed.witness(global, &self.place, self.remote.settings()).while_doing(name)?;
        let way = self.way(global).while_doing(name)?;
        let stage = Stage::open(&self.dir).while_doing(name)?;
        let made = match (&self.place, way) {
            (Place::Registry(reference, _), way) => self.pull(global, &witness, reference, (stage, way)),
            (place, way) => {
                let source = self.remote.source(global, place).while_doing(name)?;
                let source = witness.guard(&*source);
                match way {
                    Way::Copy => self.copy(&source, stage, global),
                    way => self.through_the_store(&source, stage, way, global),
                }
            }
        };
        made.while_doing(name)?;
        let kind = match way {
            Way::Overlay => "an overlay on the store's layers, which mocker-runtime mounts",
            Way::Mounted => "an overlay on the store's layers, mounted for any runtime",
            Way::Copy => "a copy, for any runtime",
        };
        global.tell(&format!("unpacked {} into {}: {kind}", self.place, self.dir.display()));
        match global.json {
            true => print(format!(
                "{:#}\n",
                json!({
                    "image": self.place.to_string(), "bundle": self.dir, "kind": way,
                })
            )),
            false => Ok(()),
        }
    }

    /// Root shares layers where the machine lets them be shared.
    fn way(&self, global: &Global) -> Result<Way> {
        let root = ownership() == Ownership::Archive;
        let copy = self.copy || self.keep_dirlinks || !self.uid_map.is_empty();
        match (self.overlay, copy) {
            (Some(_), _) if !root => {
                let e = Error::new(Kind::Unsupported, "only root can share layers by an overlay");
                Err(e.hint("leave --overlay away"))
            }
            (Some(Overlay::Runtime), _) => Ok(Way::Overlay),
            (Some(Overlay::Mounted), _) => Ok(Way::Mounted),
            (None, true) => Ok(Way::Copy),
            (None, false) => {
                let parent = self.dir.parent().filter(|dir| *dir != Path::new("")).unwrap_or(Path::new("."));
                let shared = root
                    && overlay::may_lie_on(parent)?
                    && overlay::may_lie_on(&global.root()?)?
                    && overlay::fits(&global.root()?)?;
                Ok(if shared { Way::Overlay } else { Way::Copy })
            }
        }
    }

    /// Through the store, while it arrives.
    fn pull(
        &self,
        global: &Global,
        witness: &Witness,
        reference: &Reference,
        (stage, way): (Stage, Way),
    ) -> Result<()> {
        let store = global.store()?;
        let settings = self.remote.settings();
        let mut pull = pull::Pull::new(&store, reference, &settings, global);
        pull.demands = &witness.demands;
        pull.platform = self.remote.platform.as_ref();
        let freshness = match self.place {
            Place::Registry(_, true) => Freshness::Ask,
            _ => Freshness::Keep,
        };
        let made = match way {
            Way::Copy => self.fill(&pull, stage, freshness),
            way => self.share(&pull, stage, way, freshness),
        };
        if made.is_err() {
            store.undo_added()?;
        }
        made
    }

    /// A root file system of its own.
    fn fill(&self, pull: &pull::Pull<'_>, stage: Stage, freshness: Freshness) -> Result<()> {
        let image = pull.image(freshness)?;
        let mut extractor = Extractor::new(&stage.rootfs(), self.manner()?)?;
        pull.layers(&image, Which::All, |_, layer, blob| layer.apply(blob, &mut extractor))?;
        let config = self.describe(pull.store.root(), &image, &stage)?;
        pull.record(&image)?;
        stage.finish(&config)
    }

    /// The store's layers.
    fn share(&self, pull: &pull::Pull<'_>, stage: Stage, way: Way, freshness: Freshness) -> Result<()> {
        let image = pull.image(freshness)?;
        let stack = Stack::new(pull.store, &image.config.diff_ids);
        pull.layers(&image, Which::Some(&stack.missing()?), |n, layer, blob| stack.fill(n, layer, blob))?;
        pull.record(&image)?;
        self.stacked(pull.store, &image, &stack, (stage, way))
    }

    /// Straight from a place, whose layers are read once.
    fn copy(&self, source: &dyn Source, stage: Stage, global: &Global) -> Result<()> {
        let image = load(source, self.remote.platform.as_ref(), global)?;
        let mut extractor = Extractor::new(&stage.rootfs(), self.manner()?)?;
        for (n, descriptor) in image.manifest.layers.iter().enumerate() {
            layer(&image, n)?.apply(buffered(source.blob(descriptor)?), &mut extractor)?;
        }
        let config = self.describe(&global.root()?, &image, &stage)?;
        stage.finish(&config)
    }

    /// A copy's config.json, and its note beside what all its files are now.
    fn describe(&self, store: &Path, image: &Image, stage: &Stage) -> Result<Vec<u8>> {
        let (rootfs, folder) = (stage.rootfs(), stage.folder());
        let config = config::convert(&image.config.document, &rootfs, ownership(), &self.root(Vec::new()))?;
        let files = inventory::write(&rootfs, &folder.join(FILES))?;
        Note { files, ..self.note(store, image, stage, Way::Copy)? }.write(&folder)?;
        Ok(config)
    }

    /// From a place into the store, so that what is committed later finds its layers there.
    fn through_the_store(&self, source: &dyn Source, stage: Stage, way: Way, global: &Global) -> Result<()> {
        let image = load(source, self.remote.platform.as_ref(), global)?;
        let store = global.store()?;
        let stack = Stack::new(&store, &image.config.diff_ids);
        let missing = stack.missing()?;
        let filled = (|| {
            store.keep(source, &image)?;
            for (n, descriptor) in image.manifest.layers.iter().enumerate().filter(|(n, _)| missing[*n]) {
                let gone =
                    || Error::new(Kind::NotFound, format!("blob {descriptor} vanished from the store"));
                let blob = buffered(store.blob(descriptor)?.ok_or_else(gone)?);
                stack.fill(n, &layer(&image, n)?, blob)?;
            }
            self.stacked(&store, &image, &stack, (stage, way))
        })();
        match filled {
            Err(_) => store.undo_added()?,
            Ok(()) => store.keep_added(),
        }
        filled
    }

    /// The bundle of an image whose layers are all unpacked.
    fn stacked(
        &self,
        store: &Arc<Store>,
        image: &Image,
        stack: &Stack<'_>,
        (stage, way): (Stage, Way),
    ) -> Result<()> {
        let (merged, folder) = (stack.merged()?, stage.folder());
        stack.make_upper(&folder.join("upper"))?;
        let work = folder.join("work");
        std::fs::create_dir(&work).while_doing(|| format!("make {}", work.display()))?;
        // The runtime reads relative paths as the bundle's.
        let own = |name: &str| PathBuf::from(FOLDER).join(name);
        let overlay = match way {
            Way::Overlay => overlay::options(&stack.paths(), &own("upper"), &own("work")),
            _ => Vec::new(),
        };
        if let Some((_, value)) = overlay.iter().find(|(_, value)| value.len() > overlay::LONGEST) {
            let e = Error::new(Kind::Unsupported, format!("{value} is too long for an option of an overlay"));
            return Err(e.hint("use --copy, or a --root with a shorter path"));
        }
        let rootfs = overlay::path_of(&merged);
        let config = config::convert(&image.config.document, &rootfs, ownership(), &self.root(overlay))?;
        let note = self.note(store.root(), image, &stage, way)?;
        note.write(&folder)?;
        let (id, dir) = (note.id.clone(), stage.dir()?);
        // Before the bundle is there, so that there is none whose layers nobody keeps.
        let user = note.user(dir.clone());
        store.begin_user(&id, &user, &folder.join("keep"))?;
        stage.finish(&config)?;
        store.keep_user(&id)?;
        match way {
            Way::Mounted => mount_at(&dir, &note),
            _ => Ok(()),
        }
    }

    fn root(&self, overlay: Vec<(String, String)>) -> Root {
        Root { readonly: self.read_only, overlay, ids: self.ids() }
    }

    /// The map of ids that was asked for; inside a namespace of our own, its.
    fn ids(&self) -> Option<Ids> {
        match self.uid_map.is_empty() {
            false => Some(Ids { uid: self.uid_map.clone(), gid: self.gid_map.clone() }),
            true => userns::inside().ok().flatten(),
        }
    }

    fn manner(&self) -> Result<Manner> {
        let ids = self.ids().filter(|_| ownership() == Ownership::Archive);
        Ok(Manner { ownership: ownership(), ids, keep_dirlinks: self.keep_dirlinks })
    }

    /// The ids of the namespace that this has to run in.
    pub(super) fn namespace(&self) -> Result<Option<Ids>> {
        match (rustix::process::geteuid().is_root(), self.sub_ids) {
            (false, true) => userns::lent().map(Some),
            (false, false) => Ok(self.ids()),
            (true, true) if userns::inside()?.is_none() => {
                let e = Error::invalid("--sub-ids is for users without root");
                Err(e.hint("use --uid-map and --gid-map"))
            }
            (true, _) => Ok(None),
        }
    }

    fn note(&self, store: &Path, image: &Image, stage: &Stage, way: Way) -> Result<Note> {
        let dir = stage.dir()?;
        let root = std::path::absolute(store).while_doing(|| "find the store")?;
        Ok(Note {
            id: Note::new_id(&dir),
            way,
            image: self.place.absolute()?.to_string(),
            store: root,
            manifest: image.descriptor.clone(),
            layers: chain(&image.config.diff_ids).iter().map(|id| id.hex().to_owned()).collect(),
            ids: self.ids(),
            lent: userns::inside()?.is_some(),
            keep_dirlinks: self.keep_dirlinks,
            files: None,
        })
    }
}

/// Mounts a bundle's overlay at its rootfs.
fn mount_at(dir: &Path, note: &Note) -> Result<()> {
    let folder = dir.join(FOLDER);
    let mount = overlay::mount(&note.lower(), Some((&folder.join("upper"), &folder.join("work"))))?;
    overlay::attach(&mount, &dir.join("rootfs"))
}

fn ownership() -> Ownership {
    Ownership::usual()
}
