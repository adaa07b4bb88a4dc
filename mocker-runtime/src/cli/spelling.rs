//! Managers spell options as Go's flag packages allow: `-no-subreaper`, `--detach=true`.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

/// The words as clap reads them. `command` is asked for only when a word needs it.
pub(super) fn respell(words: Vec<OsString>, command: impl FnOnce() -> Command) -> Vec<OsString> {
    let odd = |word: &OsString| {
        let word = word.to_string_lossy();
        let long_with_one_dash = word.starts_with('-') && !word.starts_with("--") && word.len() > 2;
        long_with_one_dash || (word.starts_with('-') && (word.ends_with("=true") || word.ends_with("=false")))
    };
    if !words.iter().any(odd) {
        return words;
    }
    let mut root = command();
    root.build();
    let mut here = &root;
    let mut out = Vec::with_capacity(words.len());
    let mut rest = words.into_iter();
    out.extend(rest.next());
    while let Some(word) = rest.next() {
        let Some(text) =
            word.to_str().filter(|text| text.starts_with('-') && text.len() > 1 && *text != "--")
        else {
            out.push(word.clone());
            match here.find_subcommand(&word) {
                Some(found) => here = found,
                // What follows belongs to the program that the command runs.
                None if takes_the_rest(here) => break,
                None => {}
            }
            continue;
        };
        match find(here, text) {
            Some(option) => take(option, text, &mut rest, &mut out),
            None => out.push(word),
        }
    }
    out.extend(rest);
    out
}

/// True for a command whose last words are another program's.
fn takes_the_rest(command: &Command) -> bool {
    command.get_positionals().any(Arg::is_trailing_var_arg_set)
}

/// The option that a word means: its long name with one dash or two, or its letter.
fn find<'a>(command: &'a Command, text: &str) -> Option<&'a Arg> {
    let name = text.trim_start_matches('-').split('=').next().unwrap_or_default();
    let letter = (name.len() == 1).then(|| name.chars().next()).flatten();
    command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(name) || (letter.is_some() && arg.get_short() == letter))
}

/// Writes an option in clap's form, with its value where that is the next word.
fn take(option: &Arg, text: &str, rest: &mut impl Iterator<Item = OsString>, out: &mut Vec<OsString>) {
    let value = text.split_once('=').map(|(_, value)| value);
    let name = text.trim_start_matches('-').split('=').next().unwrap_or_default();
    let dashes = if name.len() == 1 { "-" } else { "--" };
    let switch = matches!(option.get_action(), ArgAction::SetTrue | ArgAction::Help | ArgAction::Version);
    match (switch, value) {
        (true, Some("true")) | (_, None) => out.push(format!("{dashes}{name}").into()),
        (true, Some("false")) => {}
        (_, Some(value)) => out.push(format!("{dashes}{name}={value}").into()),
    }
    if !switch && value.is_none() {
        out.extend(rest.next());
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[track_caller]
    fn reads(words: &str, want: &str) {
        let words = words.split(' ').map(OsString::from).collect();
        let got = respell(words, crate::cli::Cli::command);
        assert_eq!(got.join(&OsString::from(" ")), OsString::from(want));
    }

    #[test]
    fn one_dash_is_as_good_as_two_and_a_switch_may_be_told_true_or_false() {
        reads(
            "rt run -no-subreaper --detach=true -bundle /b id",
            "rt run --no-subreaper --detach --bundle /b id",
        );
        reads("rt -root /r run --keep=false id", "rt --root /r run id");
        reads("rt run -bundle=/b -d id", "rt run --bundle=/b -d id");
    }

    #[test]
    fn words_of_the_program_in_the_container_stay_as_they_are() {
        reads("rt exec -user 7 id ls -user --x=true", "rt exec --user 7 id ls -user --x=true");
        // a value that looks like an option
        reads("rt exec -cwd -tty=true id", "rt exec --cwd -tty=true id");
    }
}
