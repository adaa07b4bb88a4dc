//! `restore`: a container from the images of a checkpoint.
//!
//! Of the flags that it shares with `create`, `--preserve-fds` and `--no-pivot` change nothing, as under runc: the
//! program has the descriptors that it was saved with, and how the root changes is criu's affair.

use std::os::fd::AsFd;
use std::path::PathBuf;

use super::absolute;
use super::checkpoint::{Images, What};
use super::create::Setup;
use super::run::own_terminal;
use crate::checkpoint::restore::Restore as Wanted;
use crate::container::create::Outlets;
use crate::container::id::ContainerId;
use crate::container::restore::Options;
use crate::container::wait::{Console, Signals, subreaper};
use crate::container::{Root, wait};
use crate::error::Result;
use crate::plan::cgroup::Driver;
use crate::sys::fd;

/// Make a container from what `checkpoint` has saved, and wait for its end
#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// Name of the container, unique below --root
    id: ContainerId,
    /// Directory with config.json
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    #[command(flatten)]
    images: Images,
    #[command(flatten)]
    what: What,
    /// Return as soon as the container runs
    #[arg(short, long)]
    detach: bool,
    /// Do not adopt the container's orphaned processes
    #[arg(long)]
    no_subreaper: bool,
    /// Close the TCP connections that were saved
    #[arg(long)]
    tcp_close: bool,
    /// Security profile in the place of the saved one
    #[arg(long, value_name = "TYPE:NAME")]
    lsm_profile: Option<String>,
    /// Security context of mounts in the place of the saved one
    #[arg(long, value_name = "CONTEXT")]
    lsm_mount_context: Option<String>,
    #[command(flatten)]
    setup: Setup,
}

impl Restore {
    pub(super) fn run(self, root: &Root, driver: Driver) -> Result<u8> {
        let (bundle, plan) = self.setup.read(&self.bundle, driver)?;
        if self.detach {
            self.setup.check_detached(&plan)?;
        }
        let signals = (!self.detach).then(Signals::catch).transpose()?;
        if !self.detach && !self.no_subreaper {
            subreaper()?;
        }
        let mut options = Options {
            keyring: self.setup.keyring(),
            console: self.setup.console_socket.as_deref().map(fd::connect).transpose()?,
            outlets: Outlets {
                pid_file: absolute(self.setup.pid_file)?,
                pidfd_socket: self.setup.pidfd_socket.as_deref().map(fd::connect).transpose()?,
            },
            restore: Wanted {
                common: self.images.options(&self.what)?,
                tcp_close: self.tcp_close,
                lsm_profile: self.lsm_profile,
                lsm_mount_context: self.lsm_mount_context,
            },
        };
        let ours = match plan.process.terminal.is_some() && options.console.is_none() {
            true => {
                let (host, receiver, sender) = own_terminal()?;
                options.console = Some(sender);
                Some((host, receiver))
            }
            false => None,
        };
        let created = root.restore(&self.id, &bundle, &plan, options)?;
        let Some(signals) = signals else { return Ok(0) };
        let console =
            ours.map(|(host, socket)| Console::new(host, fd::receive_fd(socket.as_fd())?)).transpose()?;
        wait::until_end(created, signals, console, false)
    }
}
