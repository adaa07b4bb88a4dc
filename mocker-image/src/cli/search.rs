//! `search`: repositories by a word.

use super::{Access, Global, print, wait};
use crate::error::{Context, Result};
use crate::interrupt;
use crate::reference::{self, HUB};
use crate::registry::{Actions, Registry, Settings};

#[derive(Debug, clap::Args)]
pub(super) struct Search {
    /// `HOST[:PORT][/WORD]` for a registry's catalogue, or a word for Docker Hub
    #[arg(value_name = "TERM")]
    term: String,
    #[command(flatten)]
    access: Access,
}

impl Search {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        interrupt::watch()?;
        let (host, word) = self.term.split_once('/').unwrap_or((&self.term, ""));
        let (host, word) = match host == "localhost" || host.contains(['.', ':']) {
            true => (reference::parse_place(host)?, word),
            false => (HUB.to_owned(), self.term.as_str()),
        };
        let settings = Settings { actions: Actions::Catalog, ..self.access.settings() };
        // The Hub's search is at the place of its oldest API.
        let at = if host == HUB { "index.docker.io" } else { &host };
        let found = wait(Registry::of_host(at, &settings)?.search(word));
        let found = found.while_doing(|| format!("search {host}"))?;
        if global.json {
            return print(format!("{:#}\n", serde_json::json!(found)));
        }
        let line = |f: &crate::registry::Found| match f.description.as_str() {
            "" => format!("{host}/{}\n", f.name),
            words => format!("{host}/{}\t{}\n", f.name, words.replace(['\n', '\t'], " ")),
        };
        print(found.iter().map(line).collect::<String>())
    }
}
