//! `checkpoint`: what criu is told about a running container.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::criu::{Criu, Notice, Streams};
use super::rpc::{Feature, Request, Type, field};
use super::{Options, Places, check, explain, external, failed, make_dir, stdio};
use crate::cgroup::Cgroup;
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::log;
use crate::plan::Plan;

const LOG: &str = "dump.log";

/// What the command line says of a checkpoint alone.
#[derive(Debug)]
pub(crate) struct Dump {
    pub(crate) common: Options,
    /// Of an earlier checkpoint, relative to the images
    pub(crate) parent: Option<PathBuf>,
    pub(crate) after: After,
    pub(crate) tcp_skip_in_flight: bool,
    pub(crate) link_remap: bool,
    /// Address and port at which the memory is to be had
    pub(crate) page_server: Option<(String, u16)>,
    /// Gets one zero byte when it is
    pub(crate) status: Option<OwnedFd>,
}

/// What becomes of the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// They end
    Stop,
    /// They go on
    Run,
    /// They go on, and only their memory was saved
    PreDump,
}

/// The container, as far as criu must know it.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) init: i32,
    pub(crate) plan: &'a Plan,
    pub(crate) cgroup: &'a Cgroup,
    pub(crate) annotations: &'a BTreeMap<String, String>,
    pub(crate) stdio: &'a [String],
}

/// Saves the container; on failure it goes on as if nothing had been.
pub(crate) fn dump(subject: &Subject<'_>, dump: Dump) -> Result<()> {
    check(subject.plan)?;
    make_dir(&dump.common.images)?;
    if let Some(parent) = &dump.parent {
        check_parent(&dump.common.images, parent)?;
    }
    let places = Places::open(&dump.common, LOG)?;
    let request = subject.request(&dump, &places)?;
    let log = places.log.clone();
    let criu = Criu::start(None, Streams::Null, || Ok(places.into_descriptors()))?;
    criu.check_version()?;
    if dump.after == After::PreDump {
        criu.check_feature(Feature::MemTrack, "MemTrack")?;
    }
    if dump.common.switches.lazy_pages {
        criu.check_feature(Feature::LazyPages, "LazyPages")?;
    }
    let pre = dump.after == After::PreDump;
    if !pre {
        stdio::save(&dump.common.images, subject.stdio)?;
    }
    let mut status = dump.status;
    let act = |notice: Notice| {
        if notice.script == "status-ready"
            && let Some(fd) = status.take()
            && let Err(errno) = rustix::io::write(fd, &[0])
        {
            log::warn(&format!("tell --status-fd that the pages are ready: {}", Error::from(errno)));
        }
        Ok(())
    };
    let kind = if pre { Type::PreDump } else { Type::Dump };
    let response = criu.call(&request.message(kind), act).map_err(|error| explain(error, &log))?;
    let exit = criu.finish()?;
    // After a pre-dump it waits for more requests, and takes their not coming for an error.
    if !response.success || (exit != 0 && !pre) {
        return Err(failed(&response, &log));
    }
    Ok(())
}

/// criu says only that there is none.
fn check_parent(images: &Path, parent: &Path) -> Result<()> {
    let act = || "invalid --parent-path";
    let dir = images.join(parent);
    let meta = dir.metadata().while_doing(|| dir.display().to_string()).while_doing(act)?;
    match meta.is_dir() {
        true => Ok(()),
        false => {
            Err(Error::new(Kind::Invalid, format!("{} is not a directory", dir.display()))).while_doing(act)
        }
    }
}

/// `criu_network_lock_method`: by nftables, which criu has in itself.
const NFTABLES: i32 = 2;

/// How criu keeps packets away while it works, if it is not told otherwise: with a program that not every machine has.
fn has_iptables() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join("iptables-restore").is_file())
}

impl Subject<'_> {
    fn request(&self, dump: &Dump, places: &Places) -> Result<Request> {
        let mut request = dump.common.request(places, LOG, self.annotations);
        request.int(field::PID, self.init);
        request.text(field::ROOT, &self.plan.rootfs.path.to_string_lossy());
        request.flag(field::LEAVE_RUNNING, dump.after == After::Run);
        request.flag(field::TCP_SKIP_IN_FLIGHT, dump.tcp_skip_in_flight);
        request.flag(field::LINK_REMAP, dump.link_remap);
        external::name_namespaces(&mut request, &self.plan.namespaces, self.init)?;
        if let Some(dir) = self.cgroup.freezer_dir() {
            request.text(field::FREEZE_CGROUP, &dir.to_string_lossy());
        }
        if !has_iptables() {
            request.int(field::NETWORK_LOCK, NFTABLES);
        }
        if let Some((address, port)) = &dump.page_server {
            request.numbered(field::PAGE_SERVER, address, (*port).into());
        }
        if let Some(parent) = &dump.parent {
            request.text(field::PARENT_IMG, &parent.to_string_lossy());
            request.flag(field::TRACK_MEM, true);
        }
        if dump.after != After::PreDump {
            let masked = external::masked_files(self.init, &self.plan.masked)?;
            external::name(
                &mut request,
                &external::mounts(self.plan, self.cgroup, Some(self.init))?,
                &masked,
            );
        }
        Ok(request)
    }
}
