//! What a saved container is connected with: streams, terminals, whoever waits for it, the network.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use conformance::host::{self, Need, skip, wait_until};
use serde_json::json;

use super::common::{Bundle, LIMIT, RUNTIME, copy_program};
use super::{COUNTER, counting, lacks, lacks_feature, search};

#[test]
fn in_the_foreground_the_exit_status_is_the_containers_own() {
    if lacks("in_the_foreground_the_exit_status_is_the_containers_own") {
        return;
    }
    let bundle = Bundle::shell(&format!("trap 'exit 42' TERM; {COUNTER}"));
    let ours = bundle.ours().start();
    bundle.count();
    ours.checkpoint(&[]);
    let before = bundle.count();
    let mut restored = ours.command(&["restore", &bundle.id]).spawn().unwrap();
    bundle.counts_on(before);
    let pid = nix::unistd::Pid::from_raw(restored.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(restored.wait().unwrap().code(), Some(42));
    bundle.assert_nothing_left();
}

#[test]
fn a_run_in_the_foreground_whose_container_is_saved_ends_by_itself() {
    if lacks("a_run_in_the_foreground_whose_container_is_saved_ends_by_itself") {
        return;
    }
    let bundle = Bundle::shell(COUNTER);
    let ours = bundle.ours();
    let mut run = ours.command(&["run", &bundle.id]);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    bundle.count();
    ours.checkpoint(&[]);
    assert_eq!(run.wait().unwrap().code(), Some(137));
    bundle.assert_nothing_left();
}

#[test]
fn pipes_are_replaced_by_the_streams_of_the_restore() {
    if lacks("pipes_are_replaced_by_the_streams_of_the_restore") {
        return;
    }
    let bundle = Bundle::shell("i=0; while true; do i=$((i+1)); echo $i; sleep 0.02; done");
    let ours = bundle.ours();
    let piped = |words: &[&str]| {
        let (read, write) = std::io::pipe().unwrap();
        let errors = write.try_clone().unwrap();
        let status = ours.command(words).stdout(write).stderr(errors).status().unwrap();
        assert!(status.success(), "{words:?}");
        BufReader::new(read)
    };
    let number = |from: &mut BufReader<std::io::PipeReader>| -> u64 {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        line.trim().parse().unwrap_or_else(|_| panic!("{line:?} is no number"))
    };
    let mut before = piped(&["run", "--detach", &bundle.id]);
    assert_eq!(number(&mut before), 1);
    ours.checkpoint(&[]);
    let mut rest = String::new();
    before.read_to_string(&mut rest).unwrap();
    let last: u64 = rest.lines().last().map_or(1, |line| line.parse().unwrap());
    let mut after = piped(&["restore", "--detach", &bundle.id]);
    assert_eq!(number(&mut after), last + 1);
    // and again: the pipes of the restore are those of the next checkpoint
    ours.checkpoint(&[]);
    let mut rest = String::new();
    after.read_to_string(&mut rest).unwrap();
    let last: u64 = rest.lines().last().unwrap().parse().unwrap();
    let mut after = piped(&["restore", "--detach", &bundle.id]);
    assert_eq!(number(&mut after), last + 1);
}

/// What a console socket is sent.
fn take_terminal(listener: &std::os::unix::net::UnixListener) -> fs::File {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let (stream, _) = listener.accept().unwrap();
    let mut text = [0; 64];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut iov = [std::io::IoSliceMut::new(&mut text)];
    recvmsg(&stream, &mut iov, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fd.unwrap().into()
}

#[test]
fn a_terminal_is_sent_to_the_console_socket_again() {
    if lacks("a_terminal_is_sent_to_the_console_socket_again") {
        return;
    }
    let bundle =
        Bundle::shell("while read line; do echo got $line; done").set("/process/terminal", json!(true));
    let ours = bundle.ours();
    let socket = bundle.path().join("tty.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let socket = socket.to_string_lossy();
    let talk = |mut terminal: &fs::File, words: &str| {
        use std::io::Write;
        let mut from = BufReader::new(terminal);
        terminal.write_all(format!("{words}\n").as_bytes()).unwrap();
        let mut line = String::new();
        while !line.starts_with("got ") {
            line.clear();
            assert_ne!(from.read_line(&mut line).unwrap(), 0, "the terminal has ended");
        }
        line
    };
    ours.quietly(&["run", "--detach", "--console-socket", &socket, &bundle.id]);
    let mut terminal = take_terminal(&listener);
    assert_eq!(talk(&terminal, "one"), "got one\n");
    for words in ["two", "three"] {
        ours.checkpoint(&[]);
        ours.restore(&["--console-socket", &socket]);
        terminal = take_terminal(&listener);
        assert_eq!(talk(&terminal, words), format!("got {words}\n"));
    }
}

/// A network namespace of a process of ours, with a loopback interface that is up.
pub(super) struct Network(Child);

impl Network {
    pub(super) fn new() -> Self {
        let line = "ip link set lo up && echo up && exec sleep 1000";
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "--kill-child", "sh", "-c", line]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = unshare.env("PATH", search()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        Self(child)
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(super) fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.pid())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_tcp_connection_goes_on_in_a_network_namespace_that_stayed() {
    let test = "a_tcp_connection_goes_on_in_a_network_namespace_that_stayed";
    if lacks(test) || skip(test, Need::Program("ip")) {
        return;
    }
    let network = Network::new();
    // not busybox: some kernels interrupt a waiting nc, which ends then
    let bundle = Bundle::new(&["/probe", "count", "/got"]);
    let bundle = bundle.set("/linux/namespaces/1/path", json!(network.path()));
    copy_program(&host::program("probe"), &bundle.rootfs("probe"));
    let ours = bundle.ours().start();
    let got = || fs::read_to_string(bundle.rootfs("got")).unwrap_or_default();
    wait_until(LIMIT, "the first line", || got().contains('\n')).unwrap();
    ours.checkpoint(&["--tcp-established"]);
    let before = got();
    ours.restore(&["--tcp-established"]);
    wait_until(LIMIT, "the next lines", || got().len() > before.len() + 20).unwrap();
    let all = got();
    let (whole, _) = all.rsplit_once('\n').unwrap();
    let numbers: Vec<u64> = whole.lines().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.iter().zip(1..).all(|(got, want)| *got == want), "{numbers:?}");
    let of_init = fs::read_link(format!("/proc/{}/ns/net", bundle.state()["pid"])).unwrap();
    assert_eq!(of_init, fs::read_link(network.path()).unwrap());
}

#[test]
fn the_caller_is_told_when_pages_are_served_and_the_container_stays_till_then() {
    let test = "the_caller_is_told_when_pages_are_served_and_the_container_stays_till_then";
    if lacks(test) || lacks_feature(test, "uffd-noncoop") {
        return;
    }
    let bundle = counting();
    let (read, write) = std::io::pipe().unwrap();
    let port = 20_000 + std::process::id() % 10_000;
    // The pipe under a number that is known.
    let line = format!(
        "exec \"$0\" --root {} checkpoint --lazy-pages --page-server 127.0.0.1:{port} --status-fd 5 {} \
         5>&1 >/dev/null 2>said",
        bundle.state_root().display(),
        bundle.id
    );
    let mut dump = {
        let mut command = Command::new("sh");
        command.args(["-c", &line, RUNTIME]).current_dir(bundle.path()).env("PATH", search());
        command.stdin(Stdio::null()).stdout(write).spawn().unwrap()
    };
    let mut byte = Vec::new();
    { read }.read_to_end(&mut byte).unwrap();
    let said = || fs::read_to_string(bundle.path().join("said")).unwrap();
    assert_eq!(byte, [0], "{}", said());
    // It is kept until it has been served; that nobody wants any of it is fine.
    assert!(bundle.state_root().join(&bundle.id).is_dir());
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port as u16));
    drop(std::net::TcpStream::connect_timeout(&address, LIMIT).unwrap());
    assert!(dump.wait().unwrap().success(), "{}", said());
    bundle.assert_nothing_left();
}
