//! Descriptors that the caller hands over: those of `--preserve-fds`, and sockets of a service manager
//! (sd_listen_fds(3)), which come first.

use crate::plan::process::Process;

/// How many sockets a service manager has opened for this process, from descriptor 3 on.
pub(super) fn listening() -> u32 {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    match number("LISTEN_PID") {
        Some(pid) if pid == std::process::id() => number("LISTEN_FDS").unwrap_or(0),
        _ => 0,
    }
}

/// Tells the program of its sockets; it is the first process that it knows of.
pub(super) fn hand_on(process: &mut Process) {
    let sockets = listening();
    if sockets > 0 {
        process.env.extend(std::ffi::CString::new(format!("LISTEN_FDS={sockets}")));
        process.env.push(c"LISTEN_PID=1".to_owned());
    }
}
