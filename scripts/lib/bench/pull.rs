//! The image tool's rows: unpack from a registry with nothing cached, unpack again, push, repack.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::contender::{Contender, Step, Words};
use crate::image::{FORMATS, IMAGES, Registry, run};
use crate::place::{Place, Program, find, peer, version};
use crate::row::Row;
use crate::{Result, Wanted, words};

/// One image, and where each contender works at it.
struct Desk<'a> {
    place: &'a Place,
    reference: String,
    tmp: PathBuf,
}

/// Measures what is wanted; each row is told as it is done. What goes wrong with one image is said, and the others go on.
pub fn rows(place: &Place, wanted: &Wanted, tell: &mut dyn FnMut(Row)) -> Result<()> {
    let mut registry = None;
    for (name, usual, _) in IMAGES {
        for format in FORMATS {
            let row = |job: &str, is_one: bool| match is_one {
                true => wanted.row(&words!["image", job, name, format]),
                false => None,
            };
            let rows = [
                row("unpack", true),
                row("warm", name != "noise"),
                row("push", format == "gzip" && name != "many"),
                row("repack", format == "gzip" && name == "base"),
            ];
            if rows.iter().all(Option::is_none) {
                continue;
            }
            if registry.is_none() {
                registry = Some(Registry::start(&place.kept.join("registry"), &place.dir("registry")?)?);
            }
            let Some(registry) = &registry else { continue };
            registry.hold(place, name, format)?;
            let desk = Desk { place, reference: registry.reference(name, format), tmp: place.dir("desk")? };
            // Of memory: a disk would be measured too, and some make files slowly where many were just removed.
            run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=75%", "none"]).arg(&desk.tmp))?;
            if let Err(error) = desk.rows(rows, (name, wanted.rounds(usual)), tell) {
                eprintln!("bench: {name}, {format}: {error}");
            }
            desk.clear()?;
        }
    }
    Ok(())
}

/// A shell's command.
fn shell(script: String) -> Words {
    words!["sh", "-c", script]
}

impl Desk<'_> {
    /// Unpack, unpack again, push, repack: those that are wanted.
    fn rows(
        &self,
        [cold, warm, push, repack]: [Option<Words>; 4],
        (name, rounds): (&str, usize),
        tell: &mut dyn FnMut(Row),
    ) -> Result<()> {
        let report = self.place.tmp.join("calls");
        if let Some(row) = cold {
            // a table of every call of a 1 GB layer takes minutes
            let report = ["base", "many"].contains(&name).then_some(&*report);
            tell(Row::measure(row, &self.cold()?, rounds, report));
        }
        if let Some(row) = warm {
            tell(Row::measure(row, &self.warm()?, rounds, Some(&report)));
        }
        if let Some(row) = push {
            let to = Registry::start(&self.place.dir("pushed")?, &self.place.dir("pushed-registry")?)?;
            tell(Row::measure(row, &self.push(&to)?, rounds, None));
        }
        if let Some(row) = repack {
            let (contenders, outputs) = self.repack()?;
            let mut sizes = row.clone();
            sizes.push("size".into());
            tell(Row::measure(row, &contenders, rounds, None));
            let figure = |(name, dir): (String, PathBuf)| (name, vec![newest_blob(&dir)]);
            tell(Row::figures(sizes, &words!["layer_bytes"], outputs.into_iter().map(figure).collect()));
        }
        Ok(())
    }

    /// Gives the memory back.
    fn clear(&self) -> Result<()> {
        let script = "for dir in $0/*/rootfs; do umount $dir; done; rm -rf --one-file-system $0/*; umount --recursive $0; \
            for dir in mnt run proc dev sys; do [ -z $1 ] || umount --recursive $1/$dir; done";
        let root = peers_root().map(|root| root.display().to_string()).unwrap_or_default();
        let mut clear = Command::new("sh");
        clear.args(["-c", script]).arg(&self.tmp).arg(root).stderr(Stdio::null()).status()?;
        Ok(())
    }

    fn at(&self, name: &str) -> String {
        self.tmp.join(name).display().to_string()
    }

    fn ours(&self, tool: &Program, store: &str, rest: &[&str]) -> Words {
        let rest = rest.iter().map(|word| (*word).to_owned());
        words![tool.path.display(), "--quiet", "--root", store].into_iter().chain(rest).collect()
    }

    /// Nothing is there before, and nothing stays.
    fn anew(&self, name: &str, dirs: &[&str], timed: Words) -> Contender {
        let clean = words!["rm", "-rf", "--one-file-system"]
            .into_iter()
            .chain(dirs.iter().map(|dir| (*dir).to_owned()));
        let clean: Words = clean.collect();
        Contender::new(name, vec![Step::Quiet(clean.clone()), Step::Timed(timed), Step::Quiet(clean)])
    }

    fn cold(&self) -> Result<Vec<Contender>> {
        let mut contenders = Vec::new();
        for (at, tool) in self.place.image_tools.iter().enumerate() {
            for manner in ["--copy", "--overlay"] {
                let (store, out) = (self.at(&format!("store-{at}")), self.at(&format!("out-{at}")));
                let timed = self.ours(tool, &store, &["unpack", manner, &self.reference, &out]);
                contenders.push(self.anew(&format!("{} {manner}", tool.name), &[&store, &out], timed));
            }
        }
        if self.place.alone {
            // of one manner the two builds stand side by side
            contenders.sort_by_key(|contender| contender.name.contains("--overlay"));
            return Ok(contenders);
        }
        let (layout, out) = (self.at("layout"), self.at("peer"));
        if let (Some(skopeo), Some(umoci)) = (peer("skopeo"), peer("umoci")) {
            let script = format!(
                "{} copy -q --src-tls-verify=false docker://{} oci:{layout}:x && exec {} unpack --image {layout}:x {out}",
                skopeo.path.display(),
                self.reference,
                umoci.path.display()
            );
            contenders.push(self.anew(
                &format!("{} + {}", skopeo.name, umoci.name),
                &[&layout, &out],
                shell(script),
            ));
        }
        if let Some(crane) = find("crane") {
            let said = Command::new(&crane).arg("version").output()?;
            let name = format!(
                "{} | tar",
                format!("crane {}", version(&String::from_utf8_lossy(&said.stdout))).trim_end()
            );
            let script = format!(
                "mkdir {out}; {} export --insecure {} - | tar -xf - -C {out}",
                crane.display(),
                self.reference
            );
            contenders.push(self.anew(&name, &[&out], shell(script)));
        }
        contenders.extend(self.podman()?);
        contenders.extend(self.ctr()?);
        for contender in contenders.iter_mut().filter(|contender| !contender.name.starts_with("mocker")) {
            contender.counted = false;
        }
        Ok(contenders)
    }

    /// Pull and mount; the one in $MOCKER_PEERS/root works in its own root file system.
    fn podman(&self) -> Result<Option<Contender>> {
        let root = peers_root();
        let (mut call, mut dir) = (words!["podman"], self.at("podman"));
        if let Some(root) = &root {
            for (from, to) in [
                ("/proc", "proc"),
                ("/dev", "dev"),
                ("/sys", "sys"),
                (&*self.tmp.display().to_string(), "mnt"),
            ] {
                run(Command::new("mount").args(["--rbind", from]).arg(root.join(to)))?;
            }
            run(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(root.join("run")))?;
            call = words!["chroot", root.display(), "env", "TMPDIR=/mnt", "podman"];
            dir = "/mnt/podman".into();
        } else if find("podman").is_none() {
            return Ok(None);
        }
        let said = Command::new(&call[0]).args(&call[1..]).arg("--version").output()?;
        let name = format!("podman {} pull + mount", version(&String::from_utf8_lossy(&said.stdout)));
        let podman = format!("{} --root {dir} --runroot {dir}-run --storage-driver overlay", call.join(" "));
        let image = &self.reference;
        let timed = shell(format!(
            "{podman} pull -q --tls-verify=false {image} && exec {podman} image mount {image}"
        ));
        let clean = shell(format!(
            "{podman} image umount -a; umount {0}/podman/overlay; rm -rf --one-file-system {0}/podman {0}/podman-run",
            self.tmp.display()
        ));
        Ok(Some(Contender::new(
            &name,
            vec![Step::Perhaps(clean.clone()), Step::Timed(timed), Step::Perhaps(clean)],
        )))
    }

    /// `ctr pull` by a containerd that begins with nothing; what containerd uses counts.
    fn ctr(&self) -> Result<Option<Contender>> {
        let (Some(containerd), Some(ctr)) = (peer("containerd"), find("ctr")) else { return Ok(None) };
        let (dir, socket, pid_file) =
            (self.at("containerd"), self.at("containerd.sock"), self.tmp.join("containerd.pid"));
        let config = self.at("containerd.toml");
        fs::write(
            &config,
            format!(
                "version = 2\nroot = \"{dir}/root\"\nstate = \"{dir}/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{socket}\"\n[ttrpc]\naddress = \"{socket}.ttrpc\"\n"
            ),
        )?;
        let ctr = format!("{} --address {socket}", ctr.display());
        let begin = shell(format!(
            "{} --config {config} >{dir}.log 2>&1 & echo $! >{}; until {ctr} version; do sleep 0.05; done",
            containerd.path.display(),
            pid_file.display()
        ));
        let timed = words!["sh", "-c", format!("exec {ctr} images pull --plain-http {}", self.reference)];
        let clean = words!["rm", "-rf", "--one-file-system", dir, socket];
        let steps = vec![
            Step::Stop(pid_file.clone()),
            Step::Quiet(clean.clone()),
            Step::Quiet(begin),
            Step::Timed(timed),
            Step::Stop(pid_file.clone()),
            Step::Quiet(clean),
        ];
        Ok(Some(Contender {
            daemon: Some(pid_file),
            ..Contender::new(&format!("{} ctr pull", containerd.name), steps)
        }))
    }

    /// The layers are there already, whatever form a tool keeps them in.
    fn warm(&self) -> Result<Vec<Contender>> {
        let mut contenders = Vec::new();
        for manner in ["--overlay", "--copy"] {
            for (at, tool) in self.place.image_tools.iter().enumerate() {
                let (store, out) = (self.at(&format!("store-{at}")), self.at("out"));
                let unpack = |out: &str| self.ours(tool, &store, &["unpack", manner, &self.reference, out]);
                contenders.push(self.anew(&format!("{} {manner}", tool.name), &[&out], unpack(&out)));
                if manner == "--overlay" {
                    let first = self.at(&format!("first-{at}"));
                    Contender::new("", Vec::new()).call(&unpack(&first), 0)?;
                }
            }
        }
        if let (Some(umoci), false) = (peer("umoci"), self.place.alone) {
            let (layout, out) = (self.layout()?, self.at("peer"));
            let timed = words![umoci.path.display(), "unpack", "--image", format!("{layout}:x"), out];
            contenders.push(Contender { counted: false, ..self.anew(&umoci.name, &[&out], timed) });
        }
        Ok(contenders)
    }

    /// The image in an OCI layout.
    fn layout(&self) -> Result<String> {
        let layout = self.at("layout");
        let (from, to) = (format!("docker://{}", self.reference), format!("oci:{layout}:x"));
        let tool = &self.place.image_tools[0];
        Contender::new("", Vec::new())
            .call(&self.ours(tool, &self.at("copying"), &["copy", &from, &to]), 0)?;
        Ok(layout)
    }

    /// To a repository that has none of it.
    fn push(&self, to: &Registry) -> Result<Vec<Contender>> {
        let mut contenders = Vec::new();
        for (at, tool) in self.place.image_tools.iter().enumerate() {
            let store = self.at(&format!("store-{at}"));
            Contender::new("", Vec::new()).call(&self.ours(tool, &store, &["pull", &self.reference]), 0)?;
            let timed = self.ours(
                tool,
                &store,
                &[
                    "push",
                    &self.reference,
                    &format!("docker://{}", to.reference(&format!("ours-{at}-{{n}}"), "x")),
                ],
            );
            contenders.push(Contender::new(&tool.name, vec![Step::Timed(timed)]));
        }
        if let (Some(skopeo), false) = (peer("skopeo"), self.place.alone) {
            // it notes which repositories have a blob, and would ask for it from there
            let notes = Path::new("/var/lib/containers/cache");
            fs::create_dir_all(notes)?;
            run(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(notes))?;
            let forget = words![
                "rm",
                "-f",
                notes.join("blob-info-cache-v1.boltdb").display(),
                notes.join("blob-info-cache-v1.sqlite").display()
            ];
            let (from, to) = (
                format!("oci:{}:x", self.layout()?),
                format!("docker://{}", to.reference("skopeo-{n}", "x")),
            );
            let timed = words![skopeo.path.display(), "copy", "-q", "--dest-tls-verify=false", from, to];
            contenders.push(Contender::new(&skopeo.name, vec![Step::Quiet(forget), Step::Timed(timed)]));
        }
        Ok(contenders)
    }

    /// A bundle in which a container changed much: contenders, and the folders that their layers go to.
    fn repack(&self) -> Result<(Vec<Contender>, Vec<(String, PathBuf)>)> {
        let bare = Contender::new("", Vec::new());
        let change = |bundle: &str| {
            let script = format!(
                "cd {bundle}/rootfs && cp -a usr/lib/x86_64-linux-gnu var/changed && rm usr/bin/perl && echo x >>etc/passwd"
            );
            bare.call(&shell(script), 0)
        };
        let (mut contenders, mut outputs) = (Vec::new(), Vec::new());
        for manner in ["--overlay=mounted", "--copy"] {
            for (at, tool) in self.place.image_tools.iter().enumerate() {
                let (store, bundle) =
                    (self.at(&format!("store{manner}-{at}")), self.at(&format!("bundle{manner}-{at}")));
                bare.call(&self.ours(tool, &store, &["unpack", manner, &self.reference, &bundle]), 0)?;
                change(&bundle)?;
                let commit = self.ours(tool, &store, &["commit", &bundle, "localhost/changed:{n}"]);
                let timed = [words!["env", format!("TMPDIR={}", self.tmp.display())], commit].concat();
                let name = format!("{} {manner}", tool.name);
                contenders.push(Contender::new(&name, vec![Step::Timed(timed)]));
                outputs.push((name, store.into()));
            }
        }
        if let (Some(umoci), false) = (peer("umoci"), self.place.alone) {
            let (layout, bundle) = (self.layout()?, self.at("bundle"));
            bare.call(&words![umoci.path.display(), "unpack", "--image", format!("{layout}:x"), bundle], 0)?;
            change(&bundle)?;
            let timed =
                words![umoci.path.display(), "repack", "--image", format!("{layout}:changed-{{n}}"), bundle];
            contenders.push(Contender::new(&umoci.name, vec![Step::Timed(timed)]));
            outputs.push((umoci.name, layout.into()));
        }
        Ok((contenders, outputs))
    }
}

/// The root file system of newer peers, if there is one with podman.
fn peers_root() -> Option<PathBuf> {
    let root = Path::new(&std::env::var_os("MOCKER_PEERS")?).join("root");
    Some(root).filter(|root| root.join("usr/bin/podman").is_file())
}

/// The size of the layer that came last: of the large files below a folder the newest.
fn newest_blob(dir: &Path) -> Option<f64> {
    let find = Command::new("find")
        .arg(dir)
        .args(["-path", "*sha256*", "-size", "+1M", "-printf", "%T@ %s\n"])
        .output()
        .ok()?;
    let said = String::from_utf8(find.stdout).ok()?;
    let files = said
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(time, size)| Some((time.parse::<f64>().ok()?, size.parse::<f64>().ok()?)));
    files.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, size)| size)
}
