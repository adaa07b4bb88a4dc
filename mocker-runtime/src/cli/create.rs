//! `create`: from words to one call, and the flags that it shares with `run`.

use std::path::{Path, PathBuf};

use super::quick::{Given, Names, Quick};
use super::{absolute, descriptors};
use crate::bundle::Bundle;
use crate::bundle::config::Config;
use crate::cgroup;
use crate::container::Root;
use crate::container::ahead::Ahead;
use crate::container::create::{Options, Until};
use crate::container::id::ContainerId;
use crate::container::notify::{self, Notify};
use crate::error::{Error, Result};
use crate::init::{Keyring, Switch};
use crate::plan::Plan;
use crate::plan::cgroup::Driver;
use crate::sys::fd;

/// Make a container whose program waits for `start`
#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// Name of the container, unique below --root
    id: ContainerId,
    /// Directory with config.json
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    #[command(flatten)]
    setup: Setup,
}

/// How a container is set up, whoever asks for it.
#[derive(Debug, clap::Args)]
pub(super) struct Setup {
    /// Unix socket that receives the container's terminal
    #[arg(long, value_name = "SOCKET")]
    pub(super) console_socket: Option<PathBuf>,
    /// File to write init's process id to
    #[arg(long, value_name = "FILE")]
    pub(super) pid_file: Option<PathBuf>,
    /// Unix socket that receives a pidfd of init
    #[arg(long, value_name = "SOCKET")]
    pub(super) pidfd_socket: Option<PathBuf>,
    /// File to read in the place of the bundle's config.json
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Move the root file system over / instead of using pivot_root (for an initramfs)
    #[arg(long)]
    pub(super) no_pivot: bool,
    /// Let the container share the caller's session keyring
    #[arg(long)]
    pub(super) no_new_keyring: bool,
    /// Number of open descriptors, from 3 on, that the container keeps
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) preserve_fds: u32,
}

impl Quick for Create {
    const VALUES: Names = Setup::VALUES;
    const SWITCHES: Names = Setup::SWITCHES;

    fn take(given: &mut Given<'_>) -> Option<Self> {
        let bundle = given.path("--bundle").unwrap_or_else(|| PathBuf::from("."));
        Some(Self { id: given.word()?, bundle, setup: Setup::take(given)? })
    }
}

impl Create {
    pub(super) fn preserved(&self) -> u32 {
        self.setup.preserve_fds
    }

    pub(super) fn run(self, root: &Root, driver: Driver) -> Result<()> {
        let (bundle, mut plan, ahead) = self.setup.begin(&self.bundle, driver)?;
        let notify = Notify::wanted();
        if notify == Notify::Yes {
            notify::plan(&mut plan, root, &self.id);
        }
        self.setup.check_detached(&plan)?;
        let options = self.setup.options(Until::Start, notify, ahead)?;
        root.create(&self.id, &bundle, &plan, options).map(drop)
    }
}

impl Quick for Setup {
    const VALUES: Names = &[
        ("--bundle", "-b"),
        ("--console-socket", ""),
        ("--pid-file", ""),
        ("--pidfd-socket", ""),
        ("--config", ""),
        ("--preserve-fds", ""),
    ];
    const SWITCHES: Names = &[("--no-pivot", ""), ("--no-new-keyring", "")];

    fn take(given: &mut Given<'_>) -> Option<Self> {
        Some(Self {
            console_socket: given.path("--console-socket"),
            pid_file: given.path("--pid-file"),
            pidfd_socket: given.path("--pidfd-socket"),
            config: given.path("--config"),
            no_pivot: given.switch("--no-pivot"),
            no_new_keyring: given.switch("--no-new-keyring"),
            preserve_fds: given.parsed("--preserve-fds")?.unwrap_or_default(),
        })
    }
}

impl Setup {
    /// The bundle and what will be done with it.
    pub(super) fn read(&self, dir: &Path, driver: Driver) -> Result<(Bundle, Plan)> {
        let bundle = Bundle::read(dir, self.config.as_deref())?;
        let plan = plan(&bundle, &bundle.config()?, driver)?;
        Ok((bundle, plan))
    }

    /// The same for a container that is made, with what takes the kernel long begun meanwhile.
    pub(super) fn begin(&self, dir: &Path, driver: Driver) -> Result<(Bundle, Plan, Ahead)> {
        let bundle = Bundle::read(dir, self.config.as_deref())?;
        let config = bundle.config()?;
        let ahead = Ahead::begin(&config);
        let plan = plan(&bundle, &config, driver)?;
        drop(config);
        Ok((bundle, plan, ahead))
    }

    /// A terminal needs somebody who holds its other end after this command has ended.
    pub(super) fn check_detached(&self, plan: &Plan) -> Result<()> {
        match (plan.process.terminal, &self.console_socket) {
            (Some(_), None) => {
                Err(Error::invalid("process.terminal is true, but there is no --console-socket")
                    .with_hint("set process.terminal to false, or use run without --detach"))
            }
            (None, Some(_)) => {
                Err(Error::invalid("--console-socket is given, but process.terminal is false"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn keyring(&self) -> Keyring {
        if self.no_new_keyring { Keyring::Inherited } else { Keyring::New }
    }

    /// Opens what the flags name.
    pub(super) fn options(self, until: Until, notify: Notify, ahead: Ahead) -> Result<Options> {
        let keyring = self.keyring();
        Ok(Options {
            console: self.console_socket.as_deref().map(fd::connect).transpose()?,
            pid_file: absolute(self.pid_file)?,
            pidfd_socket: self.pidfd_socket.as_deref().map(fd::connect).transpose()?,
            preserve_fds: descriptors::listening() + self.preserve_fds,
            keyring,
            switch: if self.no_pivot { Switch::Move } else { Switch::Pivot },
            notify,
            until,
            ahead,
        })
    }
}

/// What will be done with a bundle.
fn plan(bundle: &Bundle, config: &Config<'_>, driver: Driver) -> Result<Plan> {
    let mut plan = Plan::new(config, bundle.dir(), cgroup::mode())?;
    let driver = cgroup::choose(driver, &plan.cgroup)?;
    plan.cgroup.drive(driver, &plan.annotations)?;
    descriptors::hand_on(&mut plan.process);
    Ok(plan)
}
