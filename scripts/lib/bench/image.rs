//! The images, made once and kept in the storage of a docker-registry, and that registry.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::contender::until;
use crate::place::{Place, find};
use crate::{Result, sys};

/// Name, rounds that all of it takes a few minutes in, and what is in it.
pub const IMAGES: [(&str, usize, &str); 4] = [
    ("base", 3, "Debian, one layer"),
    ("layers", 1, "Debian eight times, in a layer each: 1.2 GB"),
    ("many", 1, "100,000 small files"),
    ("noise", 1, "one layer of 1 GB that nothing can make smaller"),
];
pub const FORMATS: [&str; 2] = ["gzip", "zstd"];

/// A docker-registry on loopback; it ends with this value.
pub struct Registry {
    pid: i32,
    storage: PathBuf,
    pub address: String,
}

impl Registry {
    pub fn start(storage: &Path, dir: &Path) -> Result<Self> {
        let program = find("docker-registry").ok_or("docker-registry is not installed")?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let config = dir.join("config.yml");
        fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{ level: error, accesslog: {{ disabled: true }} }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: {address} }}\n",
                storage.display()
            ),
        )?;
        let log = File::create(dir.join("log"))?;
        let mut command = Command::new(program);
        let child = command.arg("serve").arg(&config).stdout(log.try_clone()?).stderr(log).spawn()?;
        until("docker-registry", || TcpStream::connect(&address).is_ok())?;
        Ok(Self { pid: child.id().cast_signed(), storage: storage.to_owned(), address })
    }

    /// `127.0.0.1:PORT/NAME:FORMAT`.
    pub fn reference(&self, name: &str, format: &str) -> String {
        format!("{}/{name}:{format}", self.address)
    }

    /// Makes the image unless it is there from an earlier run.
    pub fn hold(&self, place: &Place, name: &str, format: &str) -> Result<()> {
        let tag = format!("docker/registry/v2/repositories/{name}/_manifests/tags/{format}");
        if self.storage.join(tag).is_dir() {
            return Ok(());
        }
        println!("\nmaking the image {name}, {format}");
        let dir = place.dir("making")?;
        let layout = dir.join("layout");
        fs::create_dir_all(layout.join("blobs/sha256"))?;
        let mut layers = Vec::new();
        each_tar(name, &dir, &mut |tar| {
            layers.push(pack(tar, format, &layout)?);
            Ok(())
        })?;
        write_image(&layout, &layers, format)?;
        let from = format!("oci:{}:latest", layout.display());
        let to = format!("docker://{}", self.reference(name, format));
        let store = dir.join("store");
        run(Command::new(&place.image_tools[0].path)
            .args(["--quiet", "--root"])
            .arg(store)
            .args(["copy", &from, &to]))?;
        Ok(fs::remove_dir_all(dir)?)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(sys::signal(self.pid, sys::TERM));
        drop(sys::wait(self.pid));
    }
}

/// A descriptor's digest, size and diffID.
struct Blob {
    digest: String,
    size: u64,
    diff_id: String,
}

/// Calls back with the tar of each layer.
fn each_tar(name: &str, dir: &Path, each: &mut dyn FnMut(&Path) -> Result<()>) -> Result<()> {
    let tar = dir.join("layer.tar");
    match name {
        "base" => each(&debian()?),
        "layers" => {
            let tree = dir.join("tree");
            fs::create_dir_all(&tree)?;
            run(Command::new("tar").arg("-xpf").arg(debian()?).arg("-C").arg(&tree))?;
            for n in 1..=8 {
                let rename = format!("--transform=flags=rh;s,^\\.,./copy-{n},");
                run(Command::new("tar")
                    .args(["--sort=name", "--numeric-owner", &rename, "-C"])
                    .arg(&tree)
                    .arg("-cf")
                    .arg(&tar)
                    .arg("."))?;
                each(&tar)?;
            }
            Ok(())
        }
        "many" => {
            let mut to = BufWriter::new(File::create(&tar)?);
            for n in 0..100_000 {
                let content = format!("file {n} of many\n").repeat(1 + n % 40);
                entry(&mut to, &format!("many/{:03}/{n}", n / 500), content.as_bytes())?;
            }
            end(to)?;
            each(&tar)
        }
        _ => {
            let mut to = BufWriter::new(File::create(&tar)?);
            header(&mut to, "noise", 1 << 30)?;
            let mut state = 0x9e37_79b9_7f4a_7c15_u64;
            for _ in 0..(1 << 30) / 8 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                to.write_all(&state.to_le_bytes())?;
            }
            end(to)?;
            each(&tar)
        }
    }
}

/// The userland that the tests use.
fn debian() -> Result<PathBuf> {
    let fixtures = std::env::var_os("MOCKER_FIXTURES").ok_or("MOCKER_FIXTURES is not set")?;
    Ok(Path::new(&fixtures).join("bookworm.tar"))
}

fn header(to: &mut impl Write, name: &str, size: usize) -> Result<()> {
    let mut block = [0_u8; 512];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "14524770400\0");
    put(148, "        0");
    put(257, "ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    Ok(to.write_all(&block)?)
}

fn entry(to: &mut impl Write, name: &str, content: &[u8]) -> Result<()> {
    header(to, name, content.len())?;
    to.write_all(content)?;
    Ok(to.write_all(&[0; 512][..content.len().next_multiple_of(512) - content.len()])?)
}

fn end(mut to: impl Write) -> Result<()> {
    to.write_all(&[0; 1024])?;
    Ok(to.flush()?)
}

/// Compresses a tar into a layout.
fn pack(tar: &Path, format: &str, layout: &Path) -> Result<Blob> {
    let unnamed = layout.join("unnamed");
    let packer = if format == "gzip" { ["gzip", "-6nc"] } else { ["zstd", "-3qc"] };
    run(Command::new(packer[0]).arg(packer[1]).stdin(File::open(tar)?).stdout(File::create(&unnamed)?))?;
    let (digest, size) = (sum(&unnamed)?, unnamed.metadata()?.len());
    fs::rename(&unnamed, layout.join("blobs/sha256").join(&digest))?;
    Ok(Blob { digest, size, diff_id: sum(tar)? })
}

fn write_image(layout: &Path, layers: &[Blob], format: &str) -> Result<()> {
    let blob = |text: &str| -> Result<String> {
        let unnamed = layout.join("unnamed");
        fs::write(&unnamed, text)?;
        let digest = sum(&unnamed)?;
        fs::rename(&unnamed, layout.join("blobs/sha256").join(&digest))?;
        Ok(format!("\"digest\": \"sha256:{digest}\", \"size\": {}", text.len()))
    };
    let join = |texts: Vec<String>| texts.join(", ");
    let diff_ids = join(layers.iter().map(|layer| format!("\"sha256:{}\"", layer.diff_id)).collect());
    let config = blob(&format!(
        r#"{{"architecture": "amd64", "os": "linux", "config": {{"Cmd": ["/bin/true"]}}, "rootfs": {{"type": "layers", "diff_ids": [{diff_ids}]}}}}"#
    ))?;
    let kind = "application/vnd.oci.image";
    let descriptor = |layer: &Blob| {
        format!(
            r#"{{"mediaType": "{kind}.layer.v1.tar+{format}", "digest": "sha256:{}", "size": {}}}"#,
            layer.digest, layer.size
        )
    };
    let layers = join(layers.iter().map(descriptor).collect());
    let manifest = blob(&format!(
        r#"{{"schemaVersion": 2, "mediaType": "{kind}.manifest.v1+json", "config": {{"mediaType": "{kind}.config.v1+json", {config}}}, "layers": [{layers}]}}"#
    ))?;
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#)?;
    Ok(fs::write(
        layout.join("index.json"),
        format!(
            r#"{{"schemaVersion": 2, "manifests": [{{"mediaType": "{kind}.manifest.v1+json", {manifest}, "annotations": {{"org.opencontainers.image.ref.name": "latest"}}}}]}}"#
        ),
    )?)
}

/// sha256 in hexadecimal.
fn sum(file: &Path) -> Result<String> {
    let said = Command::new("sha256sum")
        .arg("--")
        .stdin(File::open(file)?)
        .arg("-")
        .stderr(Stdio::inherit())
        .output()?;
    Ok(String::from_utf8(said.stdout)?.split_whitespace().next().ok_or("sha256sum said nothing")?.to_owned())
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}
