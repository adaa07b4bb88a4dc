//! `config`, `mutate`: an image whose configuration says something else.

use serde_json::{Value, json};

use super::author::{Line, deliver, stored};
use super::{Global, Remote};
use crate::error::{Context, Error, Result};
use crate::image::draft::Draft;
use crate::image::load::load;
use crate::interrupt;
use crate::place::Place;

/// What can be cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Field {
    #[value(alias = "config.labels")]
    Labels,
    #[value(alias = "config.env")]
    Env,
    #[value(alias = "config.cmd")]
    Cmd,
    #[value(alias = "config.entrypoint")]
    Entrypoint,
    #[value(alias = "config.volume")]
    Volumes,
    #[value(name = "exposed-ports", alias = "config.exposedports")]
    ExposedPorts,
    #[value(alias = "manifest.annotations")]
    Annotations,
    History,
}

#[derive(Debug, clap::Args)]
pub(super) struct Config {
    /// The image: a name in the store, or a place, see `copy`
    #[arg(value_name = "IMAGE")]
    image: Option<Place>,
    /// The same, umoci's way
    #[arg(long = "image", value_name = "IMAGE", hide = true)]
    named: Option<Place>,
    /// What the new image is to be [default: IMAGE]
    #[arg(long, short, value_name = "IMAGE")]
    tag: Option<Place>,
    /// Forget these first; may be repeated
    #[arg(long, value_name = "FIELD")]
    clear: Vec<Field>,
    /// A word of the entrypoint; may be repeated
    #[arg(long, alias = "config.entrypoint", value_name = "WORD", allow_hyphen_values = true)]
    entrypoint: Vec<String>,
    /// A word of the command; may be repeated
    #[arg(long, alias = "config.cmd", value_name = "WORD", allow_hyphen_values = true)]
    cmd: Vec<String>,
    /// A variable; may be repeated
    #[arg(long, short, alias = "config.env", value_name = "NAME=VALUE", value_parser = pair)]
    env: Vec<(String, String)>,
    /// A label; may be repeated
    #[arg(long, short, alias = "config.label", value_name = "NAME=VALUE", value_parser = pair)]
    label: Vec<(String, String)>,
    /// An annotation of the manifest; may be repeated
    #[arg(long, alias = "manifest.annotation", value_name = "NAME=VALUE", value_parser = pair)]
    annotation: Vec<(String, String)>,
    /// Whom it runs as
    #[arg(long, short, alias = "config.user", value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Where it runs
    #[arg(long, short, aliases = ["config.workingdir", "workingdir"], value_name = "DIR")]
    workdir: Option<String>,
    /// A volume; may be repeated
    #[arg(long, alias = "config.volume", value_name = "DIR")]
    volume: Vec<String>,
    /// A port; may be repeated
    #[arg(long, aliases = ["config.exposedports", "exposed-ports"], value_name = "PORT[/PROTOCOL]")]
    exposed_port: Vec<String>,
    /// The signal that stops it
    #[arg(long, alias = "config.stopsignal", value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// The system that it is for
    #[arg(long, value_name = "OS")]
    os: Option<String>,
    /// The processor that it is for
    #[arg(long, value_name = "ARCHITECTURE")]
    architecture: Option<String>,
    /// Who made it
    #[arg(long = "image-author", value_name = "NAME")]
    image_author: Option<String>,
    /// When it was made, RFC 3339
    #[arg(long, value_name = "TIME")]
    created: Option<String>,
    #[command(flatten)]
    line: Line,
    #[command(flatten)]
    remote: Remote,
}

impl Config {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let image = super::author::either(self.image.as_ref(), self.named.as_ref(), "which image")?;
        let from = stored(&image);
        self.change(global, &from).while_doing(|| format!("configure {from}"))
    }

    fn change(&self, global: &Global, from: &Place) -> Result<()> {
        let source = self.remote.source(global, from)?;
        let image = load(&*source, self.remote.platform.as_ref(), global)?;
        let mut draft = Draft::of(&*source, &image)?;
        self.clear.iter().for_each(|field| clear(&mut draft, *field));
        self.edit(&mut draft.config);
        for (key, value) in &self.annotation {
            draft.manifest.value["annotations"][key] = json!(value);
        }
        self.line.add(&mut draft, "config", true)?;
        if let Some(created) = &self.created {
            draft.config["created"] = json!(created);
        }
        deliver(global, draft, self.tag.as_ref().unwrap_or(from), &self.remote.settings())
    }

    fn edit(&self, document: &mut Value) {
        for (key, value) in
            [("os", &self.os), ("architecture", &self.architecture), ("author", &self.image_author)]
        {
            if let Some(value) = value {
                document[key] = json!(value);
            }
        }
        let config = &mut document["config"];
        if config.is_null() {
            *config = json!({});
        }
        for (key, words) in [("Entrypoint", &self.entrypoint), ("Cmd", &self.cmd)] {
            if !words.is_empty() {
                config[key] = json!(words);
            }
        }
        for (key, value) in
            [("User", &self.user), ("WorkingDir", &self.workdir), ("StopSignal", &self.stop_signal)]
        {
            if let Some(value) = value {
                config[key] = json!(value);
            }
        }
        for (name, value) in &self.env {
            set_variable(&mut config["Env"], name, value);
        }
        for (name, value) in &self.label {
            config["Labels"][name] = json!(value);
        }
        for (key, members) in [("Volumes", &self.volume), ("ExposedPorts", &self.exposed_port)] {
            members.iter().for_each(|member| config[key][member] = json!({}));
        }
    }
}

fn clear(draft: &mut Draft<'_>, field: Field) {
    let key = match field {
        Field::Labels => "Labels",
        Field::Env => "Env",
        Field::Cmd => "Cmd",
        Field::Entrypoint => "Entrypoint",
        Field::Volumes => "Volumes",
        Field::ExposedPorts => "ExposedPorts",
        Field::Annotations => {
            if let Some(manifest) = draft.manifest.value.as_object_mut() {
                manifest.remove("annotations");
            }
            return;
        }
        Field::History => {
            draft.config["history"] = json!([]);
            return;
        }
    };
    if let Some(config) = draft.config["config"].as_object_mut() {
        config.remove(key);
    }
}

/// Sets a variable in the place where it is, or at the end.
fn set_variable(env: &mut Value, name: &str, value: &str) {
    let pair = json!(format!("{name}={value}"));
    if env.is_null() {
        *env = json!([]);
    }
    let Some(list) = env.as_array_mut() else { return };
    let is = |held: &&mut Value| {
        held.as_str().and_then(|held| held.split_once('=')).is_some_and(|(n, _)| n == name)
    };
    match list.iter_mut().find(is) {
        Some(held) => *held = pair,
        None => list.push(pair),
    }
}

fn pair(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::invalid(format!("{text:?} is not NAME=VALUE"))),
    }
}
