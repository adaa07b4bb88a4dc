//! `checkpoint`: from words to one call, and the flags that it shares with `restore`.

use std::path::{Path, PathBuf};

use super::absolute;
use crate::checkpoint::dump::{After, Dump};
use crate::checkpoint::{CgroupMode, Options, Switches};
use crate::container::Root;
use crate::container::id::ContainerId;
use crate::error::{Error, Result, WhileDoing};
use crate::sys::fd;

/// Save a running container with criu, and end it
#[derive(Debug, clap::Args)]
pub(super) struct Checkpoint {
    /// The container
    id: ContainerId,
    #[command(flatten)]
    images: Images,
    #[command(flatten)]
    what: What,
    /// Images of an earlier --pre-dump, relative to --image-path: only what changed since is saved
    #[arg(long, value_name = "DIR")]
    parent_path: Option<PathBuf>,
    /// Let the container go on afterwards
    #[arg(long)]
    leave_running: bool,
    /// Save the memory only, and let the container go on
    #[arg(long)]
    pre_dump: bool,
    /// Leave out TCP connections that are not established yet
    #[arg(long)]
    tcp_skip_in_flight: bool,
    /// Give files that were deleted while open a name again
    #[arg(long)]
    link_remap: bool,
    /// Descriptor that gets a zero byte when --lazy-pages can be asked for
    #[arg(long, value_name = "FD")]
    status_fd: Option<i32>,
    /// Where to serve the memory, or which server to send it to
    #[arg(long, value_name = "ADDRESS:PORT")]
    page_server: Option<PageServer>,
}

/// Directories of criu.
#[derive(Debug, clap::Args)]
pub(super) struct Images {
    /// Directory of the images
    #[arg(long, value_name = "DIR", default_value = "checkpoint")]
    image_path: PathBuf,
    /// Directory of criu's log and other work [default: that of the images]
    #[arg(long, value_name = "DIR")]
    work_path: Option<PathBuf>,
}

/// What is saved and restored.
#[derive(Debug, clap::Args)]
pub(super) struct What {
    /// Established TCP connections too
    #[arg(long)]
    tcp_established: bool,
    /// Unix sockets that are connected to outside too
    #[arg(long)]
    ext_unix_sk: bool,
    /// Processes in a session, or at a terminal, of the outside too
    #[arg(long)]
    shell_job: bool,
    /// File locks too
    #[arg(long)]
    file_locks: bool,
    /// Memory that is moved when it is first used
    #[arg(long)]
    lazy_pages: bool,
    /// Free what a later image holds again
    #[arg(long)]
    auto_dedup: bool,
    /// What becomes of the cgroups [default: soft]
    #[arg(long, value_enum, value_name = "MODE", hide_possible_values = false)]
    manage_cgroups_mode: Option<CgroupMode>,
    /// Namespace whose contents are left out; `network` always is
    #[arg(long, value_name = "NAMESPACE")]
    empty_ns: Vec<EmptyNamespace>,
}

/// The only namespace whose contents criu can leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EmptyNamespace;

impl std::str::FromStr for EmptyNamespace {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "network" => Ok(Self),
            _ => Err(Error::unsupported(format!("namespace {text:?} is not supported"))),
        }
    }
}

/// `10.0.0.1:27`, `[::1]:27`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PageServer {
    address: String,
    port: u16,
}

impl std::str::FromStr for PageServer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::invalid(format!("{text:?} is not of the form ADDRESS:PORT"));
        let (address, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address = match bare {
            None if address.contains(':') || address.is_empty() => return Err(bad()),
            bare => bare.unwrap_or(address).to_owned(),
        };
        Ok(Self { address, port: port.parse().map_err(|_| bad())? })
    }
}

impl Images {
    /// Both directories, with what is saved.
    pub(super) fn options(self, what: &What) -> Result<Options> {
        let images = absolute(Some(self.image_path))?.unwrap_or_default();
        Ok(Options {
            images,
            work: absolute(self.work_path)?,
            cgroups: what.manage_cgroups_mode.unwrap_or_default(),
            switches: Switches {
                tcp_established: what.tcp_established,
                ext_unix_sk: what.ext_unix_sk,
                shell_job: what.shell_job,
                file_locks: what.file_locks,
                auto_dedup: what.auto_dedup,
                lazy_pages: what.lazy_pages,
            },
        })
    }
}

impl Checkpoint {
    pub(super) fn run(self, root: &Root) -> Result<()> {
        if self.parent_path.as_deref().is_some_and(Path::is_absolute) {
            return Err(Error::invalid("--parent-path must be relative"));
        }
        let after = match (self.pre_dump, self.leave_running) {
            (true, _) => After::PreDump,
            (false, true) => After::Run,
            (false, false) => After::Stop,
        };
        // runc takes -1 for none.
        let status = self.status_fd.filter(|number| *number >= 0).map(fd::adopt_writable).transpose();
        let dump = Dump {
            common: self.images.options(&self.what)?,
            parent: self.parent_path,
            after,
            tcp_skip_in_flight: self.tcp_skip_in_flight,
            link_remap: self.link_remap,
            page_server: self.page_server.map(|PageServer { address, port }| (address, port)),
            status: status.while_doing(|| "invalid --status-fd argument")?,
        };
        root.open(&self.id)?.checkpoint(dump)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_server_is_an_address_and_a_port() {
        let of = |text: &str| text.parse::<PageServer>().map(|server| (server.address, server.port));
        assert_eq!(of("10.0.0.1:27").expect("parses"), ("10.0.0.1".to_owned(), 27));
        assert_eq!(of("[::1]:27").expect("parses"), ("::1".to_owned(), 27));
        for bad in ["", "10.0.0.1", ":27", "::1:27", "10.0.0.1:x", "10.0.0.1:70000"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
