//! `completions` and `man`: made from the same types as the command line.

use clap::CommandFactory;

use super::{Exit, look};
use crate::cli::{Cli, Completions, Global, Man};
use crate::report::Failure;

pub(super) fn completions(global: &Global, options: &Completions) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "cephdock", &mut text);
    look(global).print(&String::from_utf8_lossy(&text));
    Exit::Done
}

pub(super) fn man(global: &Global, options: &Man) -> Exit {
    let look = look(global);
    let mut all = Cli::command().disable_help_subcommand(true);
    all.build(); // gives the commands their full names
    let mut page = &all;
    for word in &options.command {
        let Some(below) = page.find_subcommand(word) else {
            let names: Vec<&str> = page.get_subcommands().map(clap::Command::get_name).collect();
            let hint = if names.is_empty() {
                format!("`{}` has none of its own", page.get_name())
            } else {
                format!("there are {}", names.join(", "))
            };
            let what = format!("there is no command `{}`", options.command.join(" "));
            look.print_failure(&Failure { what, hint: Some(hint), ..Failure::default() });
            return Exit::Usage;
        };
        page = below;
    }
    let mut text = Vec::new();
    match clap_mangen::Man::new(page.clone()).render(&mut text) {
        Ok(()) => {
            look.print(&String::from_utf8_lossy(&text));
            Exit::Done
        }
        Err(error) => {
            look.print_failure(&Failure { what: error.to_string(), ..Failure::default() });
            Exit::Failed
        }
    }
}
