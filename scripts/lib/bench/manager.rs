//! What of a manager's time is the runtime's: `ctr run` of a container that ends at once, by one containerd with each
//! runtime. The client waits for the shim, which calls the runtime four times; processor time is the client's alone.

use std::fs;
use std::process::Command;

use crate::contender::{Contender, Step, stop};
use crate::image::{Registry, run};
use crate::place::{Place, find, peer, views};
use crate::row::Row;
use crate::{Result, Wanted, sys, words};

pub fn rows(place: &Place, wanted: &Wanted, tell: &mut dyn FnMut(Row)) -> Result<()> {
    let Some(row) = wanted.row(&words!["manager", "ctr"]) else { return Ok(()) };
    let (Some(containerd), Some(ctr), Some(view)) = (peer("containerd"), find("ctr"), views()?.pop()) else {
        return Ok(());
    };
    let registry = Registry::start(&place.kept.join("registry"), &place.dir("registry")?)?;
    registry.hold(place, "base", "gzip")?;
    let (dir, pid_file) = (place.dir("manager")?, place.tmp.join("manager.pid"));
    let (socket, config) = (dir.join("sock"), dir.join("config.toml"));
    fs::write(
        &config,
        format!(
            "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{0}/sock\"\n[ttrpc]\naddress = \"{0}/sock.ttrpc\"\n",
            dir.display()
        ),
    )?;
    // sockets of shims and runc's state: only in this mount namespace
    run(Command::new("mount").args(["-t", "tmpfs", "none", "/run"]))?;
    let inside = view.of(&containerd);
    let contender = |name: &str, steps| Contender { inside: inside.clone(), ..Contender::new(name, steps) };
    let ctr = |rest: &str| {
        words!["sh", "-c", format!("exec {} --address {} {rest}", ctr.display(), socket.display())]
    };
    let daemon = format!(
        "{} --config {} & echo $! >{}",
        containerd.path.display(),
        config.display(),
        pid_file.display()
    );
    contender("", Vec::new()).call(&words!["sh", "-c", daemon], 0)?;
    crate::contender::until("containerd", || contender("", Vec::new()).call(&ctr("version"), 0).is_ok())?;
    let image = registry.reference("base", "gzip");
    contender("", Vec::new()).call(&ctr(&format!("images pull --plain-http {image}")), 0)?;
    // some versions of crun cannot set the limits that ctr asks for
    let runtimes = place.all_runtimes().into_iter().filter(|runtime| !runtime.name.starts_with("crun"));
    let one = |runtime: crate::place::Program| {
        let words = ctr(&format!(
            "run --rm --cpu-shares 0 --runc-binary {} --runc-root {} {image} bench-{{n}} true",
            runtime.path.display(),
            dir.join("runc").display()
        ));
        contender(&runtime.name, vec![Step::Timed(words)])
    };
    let contenders: Vec<Contender> = runtimes.map(one).collect();
    tell(Row::measure(row, &contenders, wanted.rounds(25), None));
    stop(&pid_file)?;
    sys::reap();
    Ok(())
}
