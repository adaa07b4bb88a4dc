//! The last step: finding the program and becoming it.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, FileType};
use rustix::io::Errno;

use super::task::{Program, Task};
use crate::error::{Error, Kind, Result, WhileDoing};
use crate::sys::signal;
use crate::user;

/// Where a program is looked for when the container's environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Task<'_> {
    /// Finds the program as execvp would, with the words that managers look for when it cannot be run.
    pub(super) fn find_program(&mut self) -> Result<()> {
        let process = self.process;
        let name = process.args.first().ok_or_else(|| Error::invalid("process.args is empty"))?;
        let program = match name.to_bytes().contains(&b'/') {
            true => check(name).map(|()| name.clone()).map_err(|errno| refusal(name, errno))?,
            false => search(name, &process.env)?,
        };
        let mut env = process.env.clone();
        env.extend(self.home.take());
        self.program = Some(Program { file: program, env });
        Ok(())
    }

    /// Signals that this program has blocked or ignored are not so for the other.
    pub(super) fn settle(&mut self) -> Result<()> {
        signal::restore_all()
    }

    /// Looked up while any file can be opened: a filter may know nothing of openat2(2).
    pub(super) fn find_home(&mut self) -> Result<()> {
        if !self.process.env.iter().any(|entry| entry.to_bytes().starts_with(b"HOME=")) {
            let home = user::home(self.process.uid).unwrap_or_else(|| "/".to_owned());
            self.home = CString::new(format!("HOME={home}")).ok();
        }
        Ok(())
    }

    /// Becomes the program. The seccomp filter is in force by now: nothing but execve is called here.
    pub(super) fn execve(&mut self) -> Result<()> {
        let Some(Program { file, env }) = &self.program else {
            return Err(Error::new(Kind::Internal, "the program is not known"));
        };
        let errno = run(file, &self.process.args, env);
        Err(errno).while_doing(|| format!("exec: {:?}", file.to_string_lossy()))
    }
}

fn search(name: &CStr, env: &[CString]) -> Result<CString> {
    let path = env
        .iter()
        .find_map(|entry| entry.to_bytes().strip_prefix(b"PATH="))
        .unwrap_or(DEFAULT_PATH.as_bytes());
    let mut denied = None;
    for dir in path.split(|byte| *byte == b':') {
        let dir = if dir.is_empty() { b"." } else { dir };
        let file =
            Path::new(std::ffi::OsStr::from_bytes(dir)).join(std::ffi::OsStr::from_bytes(name.to_bytes()));
        let Ok(file) = CString::new(file.as_os_str().as_bytes()) else {
            continue;
        };
        match check(&file) {
            Ok(()) => return Ok(file),
            Err(Errno::ACCESS) => denied = Some(Errno::ACCESS),
            Err(_) => {}
        }
    }
    let name = name.to_string_lossy();
    Err(match denied {
        Some(_) => Error::new(Kind::Os(libc::EACCES), format!("exec: {name:?}: permission denied")),
        None => Error::new(Kind::NotFound, format!("exec: {name:?}: executable file not found in $PATH")),
    })
}

/// Whether this user may run a file.
fn check(file: &CStr) -> std::result::Result<(), Errno> {
    let stat = rustix::fs::stat(file)?;
    if FileType::from_raw_mode(stat.st_mode).is_dir() {
        return Err(Errno::ISDIR);
    }
    match rustix::fs::accessat(CWD, file, Access::EXEC_OK, AtFlags::EACCESS) {
        // The filter may be in force by now and not know faccessat2(2), which came with Linux 5.8. The bits say
        // nearly as much, and execve has the last word.
        Err(Errno::NOSYS | Errno::PERM) if stat.st_mode & 0o111 != 0 => Ok(()),
        Err(Errno::NOSYS | Errno::PERM) => Err(Errno::ACCESS),
        result => result,
    }
}

/// Lower case, as docker's client compares it.
fn refusal(name: &CStr, errno: Errno) -> Error {
    let words = match errno {
        Errno::NOENT => "no such file or directory".to_owned(),
        Errno::ACCESS => "permission denied".to_owned(),
        Errno::ISDIR => "is a directory".to_owned(),
        errno => std::io::Error::from(errno).kind().to_string(),
    };
    let kind = if errno == Errno::NOENT { Kind::NotFound } else { Kind::Os(errno.raw_os_error()) };
    Error::new(kind, format!("exec: {:?}: {words}", name.to_string_lossy()))
}

/// Gives the errno; on success there is nobody left to give anything to.
fn run(program: &CStr, args: &[CString], env: &[CString]) -> nix::errno::Errno {
    let result: nix::Result<Infallible> = nix::unistd::execve(program, args, env);
    match result {
        Err(errno) => errno,
        Ok(never) => match never {},
    }
}
