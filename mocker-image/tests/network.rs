//! Names, TLS and credentials: over which way a registry is spoken to, and what it is never told.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Outcome, PROGRAM, Place, quoted};
use conformance::fixture::{Artifact, Image, Layer};
use conformance::host::{Need, in_mount_namespace, on_path, skip, wait_until};
use conformance::registry::{Auth, Registry, push};

fn image() -> Artifact {
    Image::new().layer(&Layer::new().file("a", "a")).build().unwrap()
}

/// Runs a script where it may mount what it likes; without SSL_CERT_FILE.
fn script(text: &str) -> Outcome {
    let mut command = in_mount_namespace("sh");
    command
        .args(["-ec", text])
        .env_remove("SSL_CERT_FILE")
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap()
        .into()
}

/// Debian's registry with TLS, a CA of its own, and a user: for what the in-process one does not speak.
struct Tls {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Tls {
    fn start(artifact: &Artifact) -> Self {
        Self::start_with(artifact, "")
    }

    /// One that also wants a certificate of the client, which lies in `client` with its key.
    fn start_for_known_clients(artifact: &Artifact) -> Self {
        Self::start_with(artifact, "    clientcas:\n      - DIR/ca.crt\n")
    }

    fn start_with(artifact: &Artifact, clients: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| quoted(&dir.path().join(name));
        let make = format!(
            "cd {} && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.crt 2>log \
             && openssl req -newkey rsa:2048 -nodes -subj /CN=registry.test -keyout key.pem -out csr.pem 2>>log \
             && printf 'subjectAltName=DNS:registry.test,DNS:localhost,IP:127.0.0.1' > ext \
             && openssl x509 -req -in csr.pem -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert.pem 2>>log \
             && openssl req -newkey rsa:2048 -nodes -subj /CN=client -keyout own.key -out own.csr 2>>log \
             && openssl x509 -req -in own.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out own.cert 2>>log \
             && mkdir client wrong && cp ca.crt own.cert own.key client && cp own.key wrong && cp cert.pem wrong/own.cert \
             && htpasswd -Bbn user secret > htpasswd && mkdir certs && cp ca.crt certs",
            quoted(dir.path())
        );
        assert!(Command::new("sh").args(["-c", &make]).status().unwrap().success());
        // The images come in by a registry on the same storage without any lock.
        let storage = format!("storage:\n  filesystem:\n    rootdirectory: {}\n", at("storage"));
        let open = serve(dir.path(), &format!("version: 0.1\n{storage}"), "");
        push(artifact, &format!("127.0.0.1:{}", open.1), "app", "v1").unwrap();
        end(open.0);
        let clients = clients.replace("DIR", dir.path().to_str().unwrap());
        let tls =
            format!("  tls:\n    certificate: {}\n    key: {}\n{clients}", at("cert.pem"), at("key.pem"));
        let auth = format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", at("htpasswd"));
        let (child, port) = serve(dir.path(), &format!("version: 0.1\n{storage}{auth}"), &tls);
        Self { child, port, dir }
    }

    fn certs(&self) -> String {
        quoted(&self.dir.path().join("certs"))
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Starts docker-registry and waits until it listens.
fn serve(dir: &Path, head: &str, http: &str) -> (Child, u16) {
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let config = dir.join("config.yml");
    std::fs::write(&config, format!("{head}http:\n  addr: 127.0.0.1:{port}\n{http}")).unwrap();
    let child = Command::new(on_path("docker-registry").unwrap())
        .arg("serve")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let listens = || std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
    wait_until(Duration::from_secs(30), "docker-registry to listen", listens).unwrap();
    (child, port)
}

#[test]
fn a_registry_with_tls_is_believed_only_with_its_authority() {
    let test = "a_registry_with_tls_is_believed_only_with_its_authority";
    let programs = ["docker-registry", "openssl", "htpasswd"].map(Need::Program);
    if skip(test, Need::Root) || programs.into_iter().any(|program| skip(test, program)) {
        return;
    }
    let tls = Tls::start(&image());
    let place = Place::new();
    let (store, certs, port) = (quoted(&place.store()), tls.certs(), tls.port);
    let hosts = quoted(&place.path("hosts"));
    let names = format!("echo '127.0.0.1 registry.test' > {hosts}; mount --bind {hosts} /etc/hosts;");
    let pull =
        |words: &str, host: &str| format!("exec {PROGRAM} --root {store} pull {words} {host}:{port}/app:v1");
    let refused =
        format!("the registry registry.test:{port} refuses the credentials of \"user\" (401 Unauthorized)");
    let creds = "--creds user:secret";

    // A host that is not this machine by name: TLS, with everything right.
    let known = format!("{creds} --cert-dir {certs}");
    script(&format!("{names} {}", pull(&known, "registry.test"))).ok();
    // The authority by SSL_CERT_FILE; by name of this machine, and by number.
    let file = format!("export SSL_CERT_FILE={certs}/ca.crt;");
    script(&format!("{file} {}", pull(creds, "localhost"))).ok();
    script(&pull(&known, "127.0.0.1")).ok();

    let error = script(&format!("{names} {}", pull(creds, "registry.test"))).error();
    let want = "its certificate is signed by an authority that this machine does not know";
    assert_eq!(error, format!("pull registry.test:{port}/app:v1: ask registry.test:{port}: {want}"));
    let error = script(&format!("{names} {}", pull("--cert-dir /nowhere", "registry.test"))).error();
    assert!(error.ends_with("list /nowhere: No such file or directory"), "{error}");
    let error = script(&format!(
        "{names} {}",
        pull(&format!("--creds user:wrong --cert-dir {certs}"), "registry.test")
    ))
    .error();
    assert!(error.ends_with(&refused), "{error}");

    // A login once, in place of the password in every command.
    let kept = quoted(&place.path("auth.json"));
    let login = |password: &str| {
        format!(
            "{names} printf {password} | {PROGRAM} login --username user --password-stdin --authfile {kept} \
             --cert-dir {certs} registry.test:{port}"
        )
    };
    let error = script(&login("wrong")).error();
    let host = format!("registry.test:{port}");
    assert_eq!(error, format!("log in to {host}: {refused}"));
    script(&login("secret")).ok();
    script(&format!("{names} {}", pull(&format!("--authfile {kept} --cert-dir {certs}"), "registry.test")))
        .ok();

    // No store of authorities: needed here, and told so.
    let bare = "mount -t tmpfs none /etc/ssl; rm -f /etc/ssl/cert.pem; \
         for d in /etc/pki; do if [ -d $d ]; then mount -t tmpfs none $d; fi; done;";
    let error = script(&format!("{names} {bare} {}", pull(creds, "registry.test"))).error();
    assert!(
        error.contains("there is no store of authorities (looked for /etc/ssl/certs/ca-certificates.crt"),
        "{error}"
    );
    script(&format!("{names} {bare} {}", pull(&known, "registry.test"))).ok();

    // Named insecure: any certificate will do.
    script(&format!(
        "{names} {}",
        pull(&format!("{creds} --insecure-registry registry.test:{port}"), "registry.test")
    ))
    .ok();
    script(&format!("{names} {}", pull(&format!("{creds} --tls-verify=false"), "registry.test"))).ok();
}

#[test]
fn a_registry_that_wants_a_certificate_of_the_client_gets_it() {
    let test = "a_registry_that_wants_a_certificate_of_the_client_gets_it";
    if ["docker-registry", "openssl", "htpasswd"].into_iter().any(|name| skip(test, Need::Program(name))) {
        return;
    }
    let tls = Tls::start_for_known_clients(&image());
    let place = Place::new();
    let pull = |dir: &str| {
        let (dir, reference) = (tls.dir.path().join(dir), format!("127.0.0.1:{}/app:v1", tls.port));
        let words = ["pull", "--creds", "user:secret", "--cert-dir", dir.to_str().unwrap(), &reference];
        place.run(&words)
    };
    let error = pull("certs").error();
    assert!(error.contains(&format!("ask 127.0.0.1:{}: TLS: ", tls.port)), "{error}");
    pull("client").ok();
    // A key that is another certificate's.
    let error = pull("wrong").error();
    let place = tls.dir.path().join("wrong");
    let want = format!(
        "use the client certificate in {}: TLS: keys may not be consistent: KeyMismatch",
        place.display()
    );
    assert!(error.ends_with(&want), "{error}");
    std::fs::remove_file(tls.dir.path().join("client/own.key")).unwrap();
    let error = pull("client").error();
    let key = tls.dir.path().join("client/own.key");
    let want = format!("read the client certificate {}: No such file or directory", key.display());
    assert!(error.ends_with(&want), "{error}");
}

#[test]
fn plain_http_is_for_this_machine_and_for_hosts_named_insecure_and_never_carries_a_password() {
    let test = "plain_http_is_for_this_machine_and_for_hosts_named_insecure_and_never_carries_a_password";
    if skip(test, Need::Root) {
        return;
    }
    let registry = Registry::start().unwrap();
    registry.put("app", "v1", &image());
    let port = registry.address().rsplit_once(':').unwrap().1.to_owned();
    let place = Place::new();
    let (store, hosts) = (quoted(&place.store()), quoted(&place.path("hosts")));
    let names = format!("echo '127.0.0.1 registry.test' > {hosts}; mount --bind {hosts} /etc/hosts;");
    let pull = |words: &str| {
        format!("{names} exec {PROGRAM} --root {store} pull {words} registry.test:{port}/app:v1")
    };
    let error = script(&pull("")).error();
    assert!(
        error.starts_with(&format!(
            "pull registry.test:{port}/app:v1: ask registry.test:{port}: no TLS there ("
        )),
        "{error}"
    );
    assert_eq!(registry.count("GET", "/"), 0);
    script(&pull(&format!("--insecure-registry registry.test:{port}"))).ok();
    script(&pull("--tls-verify=false")).ok();
    registry.require(Auth::Basic("user".to_owned(), "secret".to_owned()));
    registry.forget_requests();
    let error = script(&pull("--tls-verify=false --creds user:secret")).error();
    assert!(error.ends_with("user and password would go to registry.test without TLS"), "{error}");
    registry.require(Auth::TokenFor("user".to_owned(), "secret".to_owned()));
    let error = script(&pull("--tls-verify=false --creds user:secret")).error();
    assert!(error.contains("user and password would go to registry.test without TLS"), "{error}");
    registry.require(Auth::TokenFrom("http://auth.example.invalid/token".to_owned()));
    let error =
        script(&pull(&format!("--insecure-registry registry.test:{port} --creds user:secret"))).error();
    assert!(
        error.ends_with("get a token from http://auth.example.invalid/token: that is not https"),
        "{error}"
    );
    assert!(registry.requests().iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn without_hosts_and_resolv_conf_localhost_works_and_other_names_say_what_is_missing() {
    if skip("without_hosts_and_resolv_conf_localhost_works_and_other_names_say_what_is_missing", Need::Root) {
        return;
    }
    let registry = Registry::start().unwrap();
    registry.put("app", "v1", &image());
    let port = registry.address().rsplit_once(':').unwrap().1.to_owned();
    let place = Place::new();
    let store = quoted(&place.store());
    // An /etc of its own, with nothing but the modules' configuration that would be the end of NSS.
    let bare = "mount -t tmpfs none /etc; printf 'passwd: files systemd\\nhosts: files resolve\\n' > /etc/nsswitch.conf;";
    for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"] {
        script(&format!("{bare} exec {PROGRAM} --root {store} pull {host}:{port}/app:v1")).ok();
    }
    let error = script(&format!("{bare} exec {PROGRAM} --root {store} pull registry.test/app")).error();
    let want = "ask registry.test: resolve registry.test: read /etc/resolv.conf: No such file or directory";
    assert_eq!(error, format!("pull registry.test/app:latest: {want}"));
}

#[test]
fn a_name_that_the_servers_do_not_know_is_no_such_host() {
    if skip("a_name_that_the_servers_do_not_know_is_no_such_host", Need::Root) {
        return;
    }
    // A server of our own on loopback that knows no name at all.
    let socket = std::net::UdpSocket::bind(("127.0.0.53", 53));
    let Ok(socket) = socket else {
        return conformance::host::count_skip(
            "a_name_that_the_servers_do_not_know_is_no_such_host",
            "free-port-53",
        );
    };
    std::thread::spawn(move || {
        let mut packet = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            packet[2] = 0x81;
            packet[3] = 0x83;
            drop(socket.send_to(&packet[..length], from));
        }
    });
    let place = Place::new();
    let (store, conf) = (quoted(&place.store()), quoted(&place.path("resolv.conf")));
    let error = script(&format!(
        "echo 'nameserver 127.0.0.53' > {conf}; mount --bind {conf} /etc/resolv.conf; \
         exec {PROGRAM} --root {store} pull unknown.test/app"
    ))
    .error();
    assert_eq!(error, "pull unknown.test/app:latest: ask unknown.test: resolve unknown.test: no such host");
    place.assert_nothing_left();
}
