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
    let mut all = Cli::command();
    all.build(); // gives the commands their full names
    let page = match &options.command {
        None => Some(all.clone()),
        Some(name) => all.find_subcommand(name).cloned(),
    };
    let Some(page) = page else {
        let names: Vec<&str> = all.get_subcommands().map(clap::Command::get_name).collect();
        look.print_failure(&Failure {
            what: format!(
                "there is no command {:?}",
                options.command.as_deref().unwrap_or_default()
            ),
            hint: Some(format!("there are {}", names.join(", "))),
            ..Failure::default()
        });
        return Exit::Usage;
    };
    let mut text = Vec::new();
    match clap_mangen::Man::new(page).render(&mut text) {
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
