//! containerd's CRI plugin, as a kubelet calls it: pods with a network by CNI, whose runtime a RuntimeClass names.

use std::fs;
use std::path::Path;

use conformance::fixture;
use conformance::host::{Need, skip};

use super::containerd::Containerd;
use super::grpc::{Answer, Message, call};
use super::stream::Session;
use super::{Place, page, with_each_runtime};

const SOCKET: &str = "/run/containerd/containerd.sock";
const PLUGINS: &str = "/usr/lib/cni";
const NETWORK: &str = r#"{ "cniVersion": "0.4.0", "name": "pods", "plugins": [ {
    "type": "bridge", "bridge": "cni0", "isGateway": true,
    "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.77.0.0/24" }]], "routes": [{ "dst": "0.0.0.0/0" }] }
} ] }"#;
const RUNNING: u64 = 1;
const EXITED: u64 = 2;

/// A daemon that a kubelet could use.
struct Cri<'a> {
    place: &'a Place,
    daemon: Containerd<'a>,
    handler: String,
}

impl<'a> Cri<'a> {
    fn start(place: &'a Place) -> Self {
        let busybox = Path::new("/bin/busybox");
        place.registry().put("pause", "latest", &fixture::scratch(busybox, ["sleep", "100000"]).unwrap());
        place.write("/etc/cni/net.d/10-pods.conflist", NETWORK);
        let host = place.registry().address();
        let plain = format!("/etc/containerd/certs.d/{host}/hosts.toml");
        place.write(&plain, &format!("server = \"http://{host}\"\n"));
        let daemon = Containerd::start(place, &config(place));
        let class = page::read("runtimeclass.yaml");
        let handler = class.lines().find_map(|line| line.strip_prefix("handler: ")).unwrap();
        let handler = if place.is_ours() { handler.to_owned() } else { "runc".to_owned() };
        let cri = Self { place, daemon, handler };
        cri.call("ImageService/PullImage", &Message::default().message(1, cri.image()));
        cri
    }

    fn try_call(&self, method: &str, message: &Message) -> Option<Answer> {
        call(SOCKET, &format!("runtime.v1.{method}"), message)
    }

    #[track_caller]
    fn call(&self, method: &str, message: &Message) -> Answer {
        let answer = self.try_call(method, message);
        answer.unwrap_or_else(|| panic!("{method} with {}: {}", self.handler, self.daemon.log()))
    }

    fn image(&self) -> Message {
        Message::default().text(1, self.place.image())
    }

    /// A PodSandboxConfig: metadata, hostname, log_directory, linux.cgroup_parent and its namespaces.
    fn pod_config(&self, name: &str) -> Message {
        let metadata = Message::default().text(1, name).text(2, "uid").text(3, "default");
        let driver = if Need::Systemd.is_met() { ".slice" } else { "" };
        let namespaces = Message::default().number(2, 1);
        let linux = Message::default()
            .text(1, format!("/{}{driver}", self.place.name))
            .message(2, Message::default().message(1, namespaces));
        Message::default()
            .message(1, metadata)
            .text(2, format!("{name}-host"))
            .text(3, self.place.path("logs"))
            .message(8, linux)
    }

    fn run_pod(&self, name: &str) -> String {
        let request = Message::default().message(1, self.pod_config(name)).text(2, &self.handler);
        self.call("RuntimeService/RunPodSandbox", &request).text(&[1])
    }

    /// A container of the pod, made and started; 64 MiB, a pid namespace of its own, the default seccomp profile.
    fn start_container(&self, pod: (&str, &str), name: &str, config: Message, words: &[&str]) -> String {
        let security = Message::default()
            .message(3, Message::default().number(2, 1))
            .message(15, Message::default().number(1, 0));
        let limits = Message::default().number(4, 64 << 20);
        let config = config
            .message(1, Message::default().text(1, name))
            .message(2, self.image())
            .texts(3, words)
            .text(11, format!("{name}.log"))
            .message(15, Message::default().message(1, limits).message(2, security));
        let request = Message::default().text(1, pod.0).message(2, config).message(3, self.pod_config(pod.1));
        let id = self.call("RuntimeService/CreateContainer", &request).text(&[1]);
        self.call("RuntimeService/StartContainer", &Message::default().text(1, &id));
        id
    }

    /// Its state and its exit code.
    fn status(&self, id: &str) -> (u64, u64) {
        let status = self.call("RuntimeService/ContainerStatus", &Message::default().text(1, id));
        (status.number(&[1, 3]), status.number(&[1, 7]))
    }

    /// Standard output, standard error, exit code.
    fn exec(&self, id: &str, line: &str) -> (String, String, u64) {
        let request = Message::default().text(1, id).texts(2, &["sh", "-c", line]).number(3, 50);
        let answer = self.call("RuntimeService/ExecSync", &request);
        (answer.text(&[1]), answer.text(&[2]), answer.number(&[3]))
    }

    fn log(&self, name: &str) -> String {
        let text = fs::read_to_string(self.place.path(&format!("logs/{name}.log"))).unwrap_or_default();
        // time, stream, whether the line is whole, line
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned() + "\n").collect()
    }

    fn remove(&self, id: &str) {
        self.call("RuntimeService/RemoveContainer", &Message::default().text(1, id));
    }

    fn remove_pod(&self, id: &str) {
        self.call("RuntimeService/StopPodSandbox", &Message::default().text(1, id));
        self.call("RuntimeService/RemovePodSandbox", &Message::default().text(1, id));
    }
}

/// What containerd is told beside the drop-in: the test's own machine.
fn config(place: &Place) -> String {
    let pause = place.registry().reference("pause", "latest");
    let driver = Need::Systemd.is_met();
    let (runtime, images) = match place.containerd_major() {
        1 => ("io.containerd.grpc.v1.cri", format!("sandbox_image = {pause:?}\n")),
        _ => {
            let plugin = "plugins.'io.containerd.cri.v1.images'";
            let pinned = format!("[{plugin}.pinned_images]\nsandbox = {pause:?}\n");
            let registry = format!("[{plugin}.registry]\nconfig_path = '/etc/containerd/certs.d'\n");
            ("io.containerd.cri.v1.runtime", pinned + &registry)
        }
    };
    let images = images.as_str();
    let (inside, beside) = if place.containerd_major() == 1 { (images, "") } else { ("", images) };
    format!(
        "[plugins.'{runtime}']\nrestrict_oom_score_adj = true\nnetns_mounts_under_state_dir = true\n{inside}\
         [plugins.'{runtime}'.cni]\nbin_dir = '{PLUGINS}'\nconf_dir = '/etc/cni/net.d'\n\
         [plugins.'{runtime}'.containerd.runtimes.runc]\nruntime_type = 'io.containerd.runc.v2'\n\
         [plugins.'{runtime}'.containerd.runtimes.runc.options]\nSystemdCgroup = {driver}\n{beside}"
    )
}

const SERVICE: &str = "echo started; echo aside >&2; trap 'exit 9' TERM; while :; do sleep 0.05; done";

#[test]
fn a_kubelets_calls_run_pods_of_the_runtime_class() {
    let test = "a_kubelets_calls_run_pods_of_the_runtime_class";
    if skip(test, Need::Path("/usr/lib/cni/bridge")) {
        return;
    }
    with_each_runtime(test, &["containerd", "ctr"], |place| {
        let mut cri = Cri::start(place);
        let pod = cri.run_pod("one");
        let status = cri.call("RuntimeService/PodSandboxStatus", &Message::default().text(1, &pod));
        let address = status.text(&[1, 5, 1]);
        place.holds(address.starts_with("10.77.0."), &address);
        place.is(status.text(&[1, 9]), cri.handler.clone());

        let pair = (pod.as_str(), "one");
        let service = cri.start_container(pair, "service", Message::default(), &["sh", "-c", SERVICE]);
        place.is(cri.status(&service), (RUNNING, 0));
        executes(&cri, &service, &address);
        limits(&cri, &service);
        streams(&cri, &service, pair);

        cri.daemon.kill();
        cri.daemon = Containerd::start_again(place);
        place.comes("the container again", || {
            cri.try_call("RuntimeService/ContainerStatus", &Message::default().text(1, &service)).is_some()
        });
        place.is(cri.status(&service), (RUNNING, 0));
        cri.call("RuntimeService/StopContainer", &Message::default().text(1, &service).number(2, 50));
        place.is(cri.status(&service), (EXITED, 9));
        place.comes("the log", || {
            let log = cri.log("service");
            log.contains("stdout F started\n") && log.contains("stderr F aside\n") && log.lines().count() == 2
        });
        cri.remove(&service);
        fails(&cri, pair);
        cri.remove_pod(&pod);
    });
}

fn executes(cri: &Cri, id: &str, address: &str) {
    let place = cri.place;
    let said = |text: &str| text.to_owned();
    place.is(cri.exec(id, "echo in; echo beside >&2; exit 3"), (said("in\n"), said("beside\n"), 3));
    place.is(cri.exec(id, "hostname").0, "one-host\n");
    let fib = cri.exec(id, "cat /proc/net/fib_trie").0;
    place.holds(fib.contains(address), &fib);
    let filter = cri.exec(id, "grep Seccomp: /proc/self/status").0;
    place.is(filter.split_whitespace().last().unwrap_or_default(), "2");
}

/// An update reaches the kernel.
fn limits(cri: &Cri, id: &str) {
    let file = if Need::CgroupV2.is_met() { "memory.max" } else { "memory.limit_in_bytes" };
    let limit = || {
        let dirs = super::place::cgroups(id);
        let read = dirs.iter().find_map(|dir| fs::read_to_string(dir.join(file)).ok());
        read.and_then(|text| text.trim().parse::<u64>().ok())
    };
    cri.place.is(limit(), Some(64 << 20));
    let linux = Message::default().number(4, 32 << 20);
    let request = Message::default().text(1, id).message(2, linux);
    cri.call("RuntimeService/UpdateContainerResources", &request);
    cri.place.is(limit(), Some(32 << 20));
}

/// Exec with and without a terminal, and attach, through the streaming server.
fn streams(cri: &Cri, id: &str, pod: (&str, &str)) {
    let place = cri.place;
    let exec = |line: &str, tty: u64| {
        let request = Message::default().text(1, id).texts(2, &["sh", "-c", line]);
        let request = request.number(3, tty).number(4, 1).number(5, 1).number(6, 1 - tty);
        Session::open(&cri.call("RuntimeService/Exec", &request).text(&[1]))
    };
    let mut plain = exec("read line; echo got $line; exit 7", 0);
    plain.type_in("word\n");
    let (out, status) = plain.finish();
    place.is(out, "got word\n");
    place.holds(status.contains(r#""ExitCode","message":"7""#), &status);
    let mut terminal = exec("read line; ls -l /proc/self/fd/0", 1);
    terminal.resize(77, 33);
    terminal.type_in("word\n");
    let (out, status) = terminal.finish();
    place.holds(out.contains("-> /dev/pts/") && status.contains("Success"), (&out, &status));

    let config = Message::default().number(12, 1).number(14, 1);
    let shell = cri.start_container(pod, "shell", config, &["sh"]);
    let request = Message::default().text(1, &shell).number(2, 1).number(3, 1).number(4, 1);
    let mut attached = Session::open(&cri.call("RuntimeService/Attach", &request).text(&[1]));
    attached.type_in("echo $((20 + 3)); exit 5\n");
    let (out, _) = attached.finish();
    place.holds(out.contains("\n23"), &out);
    place.comes("its end", || cri.status(&shell) == (EXITED, 5));
    cri.remove(&shell);
}

/// What cannot be started says why.
fn fails(cri: &Cri, pod: (&str, &str)) {
    let image = Message::default().message(1, Message::default().text(1, "wrong")).message(2, cri.image());
    let config = image.texts(3, &["no-such"]);
    let request = Message::default().text(1, pod.0).message(2, config).message(3, cri.pod_config(pod.1));
    let id = cri.call("RuntimeService/CreateContainer", &request).text(&[1]);
    let started = cri.try_call("RuntimeService/StartContainer", &Message::default().text(1, &id));
    cri.place.holds(started.is_none(), &started);
    let status = cri.call("RuntimeService/ContainerStatus", &Message::default().text(1, &id));
    let message = status.text(&[1, 11]);
    cri.place.holds(message.contains("executable file not found in $PATH"), &message);
    cri.place.is((status.number(&[1, 7]), status.text(&[1, 10])), (128, "StartError".to_owned()));
    cri.remove(&id);
}
