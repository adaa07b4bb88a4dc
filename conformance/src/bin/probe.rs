//! The program inside the containers of the suite: one static file with a few verbs.
//!
//! ```text
//! probe report [PATH...]     one JSON object: what the kernel says to this process; a closer look at each PATH
//! probe write FILE TEXT      leaves a mark
//! probe exit N               ends with this status
//! probe pause                stays until it is killed
//! probe signal               prints `ready`, waits for one signal, prints its name, ends
//! probe count FILE           sends numbers to itself over TCP, and appends what arrives to FILE
//! probe hook NAME FILE [N]   as a hook: appends what it was given to FILE as one JSON line, ends with N
//! ```
#![expect(clippy::print_stdout, reason = "the report goes to standard output")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::SigSet;
use rustix::process::Resource;
use serde_json::{Map, Value, json};

fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.get(1..).unwrap_or_default() {
        ["report", paths @ ..] => {
            println!("{}", report(paths)?);
            io::stdout().flush()?;
        }
        ["write", file, text] => fs::write(file, text)?,
        ["exit", status] => return Ok(ExitCode::from(u8::from_str(status)?)),
        ["pause"] => loop {
            std::thread::park();
        },
        ["signal"] => signal()?,
        ["count", file] => count(file)?,
        ["hook", name, file, rest @ ..] => {
            hook(name, Path::new(file))?;
            return Ok(ExitCode::from(rest.first().map_or(Ok(0), |status| u8::from_str(status))?));
        }
        other => bail!("unknown words {other:?}"),
    }
    Ok(ExitCode::SUCCESS)
}

fn signal() -> Result<()> {
    let all = SigSet::all();
    all.thread_block()?;
    println!("ready");
    io::stdout().flush()?;
    println!("{}", all.wait()?);
    io::stdout().flush()?;
    Ok(())
}

/// Counts for ever, some times a second.
fn count(file: &str) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut sender = TcpStream::connect_timeout(&listener.local_addr()?, Duration::from_secs(10))?;
    let mut receiver = BufReader::new(listener.accept()?.0);
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    for number in 1_u64.. {
        sender.write_all(format!("{number}\n").as_bytes())?;
        let mut line = String::new();
        receiver.read_line(&mut line)?;
        file.write_all(line.as_bytes())?;
        std::thread::park_timeout(Duration::from_millis(20));
    }
    Ok(())
}

fn hook(name: &str, file: &Path) -> Result<()> {
    let mut stdin = String::new();
    io::stdin().read_to_string(&mut stdin)?;
    let line = json!({
        "hook": name,
        "stdin": stdin,
        "args": std::env::args().collect::<Vec<_>>(),
        "env": environment(),
        "namespaces": namespaces(),
        "root": entries("/"),
    });
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    Ok(())
}

fn report(paths: &[&str]) -> Result<Value> {
    let uname = rustix::system::uname();
    let mut looks = Map::new();
    for path in paths {
        looks.insert((*path).to_owned(), look(Path::new(path)));
    }
    Ok(json!({
        "args": std::env::args().collect::<Vec<_>>(),
        "env": environment(),
        "cwd": std::env::current_dir().map(|dir| dir.display().to_string()).unwrap_or_default(),
        "pid": std::process::id(),
        "status": status()?,
        "rlimits": rlimits(),
        "hostname": uname.nodename().to_string_lossy(),
        "domainname": uname.domainname().to_string_lossy(),
        "machine": uname.machine().to_string_lossy(),
        "namespaces": namespaces(),
        "mountinfo": text("/proc/self/mountinfo"),
        "cgroup": text("/proc/self/cgroup"),
        "oomScoreAdj": text("/proc/self/oom_score_adj").trim(),
        "personality": text("/proc/self/personality").trim(),
        "sessionLeader": rustix::process::getsid(None).is_ok_and(|sid| sid == rustix::process::getpid()),
        "fds": descriptors(),
        "interfaces": entries("/sys/class/net"),
        "looks": looks,
    }))
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn environment() -> Vec<String> {
    std::env::vars_os()
        .map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy()))
        .collect()
}

/// Every line `Name:\tvalue` of /proc/self/status.
fn status() -> Result<Map<String, Value>> {
    let lines = fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    let pairs = lines.lines().filter_map(|line| line.split_once(':'));
    Ok(pairs.map(|(name, value)| (name.to_owned(), json!(value.trim()))).collect())
}

fn rlimits() -> Map<String, Value> {
    let kinds = [
        ("RLIMIT_AS", Resource::As),
        ("RLIMIT_CORE", Resource::Core),
        ("RLIMIT_CPU", Resource::Cpu),
        ("RLIMIT_DATA", Resource::Data),
        ("RLIMIT_FSIZE", Resource::Fsize),
        ("RLIMIT_LOCKS", Resource::Locks),
        ("RLIMIT_MEMLOCK", Resource::Memlock),
        ("RLIMIT_MSGQUEUE", Resource::Msgqueue),
        ("RLIMIT_NICE", Resource::Nice),
        ("RLIMIT_NOFILE", Resource::Nofile),
        ("RLIMIT_NPROC", Resource::Nproc),
        ("RLIMIT_RSS", Resource::Rss),
        ("RLIMIT_RTPRIO", Resource::Rtprio),
        ("RLIMIT_RTTIME", Resource::Rttime),
        ("RLIMIT_SIGPENDING", Resource::Sigpending),
        ("RLIMIT_STACK", Resource::Stack),
    ];
    let value = |kind| {
        let limit = rustix::process::getrlimit(kind);
        json!({ "soft": limit.current, "hard": limit.maximum })
    };
    kinds.into_iter().map(|(name, kind)| (name.to_owned(), value(kind))).collect()
}

/// `mnt` -> `mnt:[4026531841]`.
fn namespaces() -> Map<String, Value> {
    let mut found = Map::new();
    for name in entries("/proc/self/ns") {
        let link = fs::read_link(format!("/proc/self/ns/{name}")).unwrap_or_default();
        found.insert(name, json!(link.display().to_string()));
    }
    found
}

fn entries(dir: impl AsRef<Path>) -> Vec<String> {
    let Ok(listing) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut names: Vec<String> =
        listing.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Open descriptors without the one that lists them.
fn descriptors() -> Vec<String> {
    let open = entries("/proc/self/fd").into_iter();
    open.filter(|fd| fs::read_link(format!("/proc/self/fd/{fd}")).is_ok()).collect()
}

fn look(path: &Path) -> Value {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return Value::Null;
    };
    let kind = match meta.file_type() {
        kind if kind.is_dir() => "dir",
        kind if kind.is_symlink() => "symlink",
        kind if kind.is_char_device() => "char",
        kind if kind.is_block_device() => "block",
        kind if kind.is_fifo() => "fifo",
        _ => "file",
    };
    let link = fs::read_link(path).map(|to| String::from_utf8_lossy(to.as_os_str().as_bytes()).into_owned());
    json!({
        "kind": kind,
        "mode": meta.mode() & 0o7777,
        "uid": meta.uid(),
        "gid": meta.gid(),
        "major": rustix::fs::major(meta.rdev()),
        "minor": rustix::fs::minor(meta.rdev()),
        "link": link.ok(),
        "entries": if kind == "dir" { json!(entries(path)) } else { Value::Null },
        "read": verdict(first_bytes(path)),
        "write": verdict(touch(path)),
    })
}

/// `ok`, or the kernel's word.
fn verdict<T>(result: io::Result<T>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => match error.raw_os_error() {
            Some(number) => format!("{:?}", nix::errno::Errno::from_raw(number)),
            None => error.to_string(),
        },
    }
}

/// Opens and reads; `empty` is an error here, since a masked file reads as an empty one.
fn first_bytes(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return if entries(path).is_empty() { Err(io::Error::other("empty")) } else { Ok(()) };
    }
    let mut byte = [0];
    let mut file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    if file.read(&mut byte)? == 0 { Err(io::Error::other("empty")) } else { Ok(()) }
}

/// A directory: makes and removes a file in it. Anything else: opens for writing.
fn touch(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        let file = path.join(".probe");
        File::create(&file)?;
        return fs::remove_file(file);
    }
    OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(path).map(drop)
}
