//! From the command line to the command: where it works, and with what settings.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use perennial_runtime::{Host, Mesh, Process, Telemetry, TelemetryConfig};
use perennial_types::Workspace;

use crate::cli::{Cli, Command, Common, Export, Merges, Score};
use crate::commands::{
    apply, describe, explain, exports, get, imports, keys, merges, parked, pause, person, rejected, score,
    status,
};
use crate::compose::{ALL, chosen, compose};
use crate::config::Config;
use crate::embedded::{self, Simulated, caught_up};
use crate::folder::{Folder, Held};
use crate::session::Session;
use crate::{demo, output};

/// Does what the command line says.
///
/// # Errors
/// What went wrong, and what to do about it.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    let Cli { common, command } = cli;
    let mut config = Config::load(common.config.as_deref(), std::env::vars())?;
    let served = matches!(command, Command::Serve { .. });
    if let Command::Config { default } = command {
        let config = if default { Config::default() } else { config };
        output::show(&if default { crate::settings::explained()? } else { config.to_toml()? })?;
        return Ok(());
    }
    // A service says what it does; a command answers, and keeps quiet about the rest unless asked.
    let untouched = config.process.telemetry.log == TelemetryConfig::default().log;
    if common.verbose > 0 || (!served && untouched) {
        let quiet = "warn".to_owned();
        config.process.telemetry.log = match common.verbose {
            0 => quiet,
            1 => "info".to_owned(),
            _ => "info,perennial=debug".to_owned(),
        };
    }
    let telemetry = Telemetry::start(&config.process.telemetry)?;
    let result = dispatch(config, common, command).await;
    telemetry.stop().await;
    result
}

async fn dispatch(config: Config, common: Common, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve { services, listen, http_listen } => {
            let mut config = config;
            config.process.listen = listen.unwrap_or(config.process.listen);
            config.process.http_listen = http_listen.unwrap_or(config.process.http_listen);
            serve(config, &common, &services).await
        }
        Command::Migrate => migrate(config, &common).await,
        Command::Demo(what) => {
            let folder = common.data_dir.unwrap_or_else(|| PathBuf::from(".perennial/demo"));
            let run = demo::run(config, &what, &folder, common.output).await?;
            output::show(&run)?;
            Ok(())
        }
        // Mathematics alone: no data, no server.
        Command::Score(Score::Predict { model, parameters, file }) => {
            score::predict::run(common.output, &model, &parameters, &file)
        }
        command => ask(config, &common, command).await,
    }
}

/// The folder that holds the databases, if a folder does.
fn folder_of(config: &Config, common: &Common) -> Option<PathBuf> {
    if let Some(folder) = &common.data_dir {
        return Some(folder.clone());
    }
    let folder = |url: &str| url.strip_prefix("sqlite:").map(|it| PathBuf::from(it.trim_start_matches("//")));
    config.databases().iter().find_map(|(_, url)| folder(url))
}

/// The settings for a folder: its databases, its mail folder, and its clock if that is a simulated one.
fn settle(config: Config, common: &Common, folder: &Path) -> Config {
    let mut config = if common.data_dir.is_some() { config.in_folder(folder) } else { config };
    if common.data_dir.is_some() {
        config.services.notification.maildir.folder = folder.join("maildir");
    }
    if let Some(Simulated { now }) = Simulated::of(folder) {
        config.process.clock.simulated_from = Some(now);
        config = demo::settings(config);
    }
    config
}

async fn serve(config: Config, common: &Common, services: &[String]) -> anyhow::Result<()> {
    if common.addr.is_some() {
        bail!("serve runs a server here: leave out --addr and PERENNIAL_ADDR, or use --listen");
    }
    let wanted = if services.is_empty() { &config.services.run } else { services };
    let runs = chosen(wanted)?;
    let held = match folder_of(&config, common) {
        Some(folder) => Some(Folder::hold_alone(&folder)?),
        None => None,
    };
    let config = match &held {
        Some(held) => settle(config, common, held.path()),
        None => config,
    };
    config
        .process
        .check(&config.databases().into_iter().filter(|(name, _)| runs.contains(name)).collect::<Vec<_>>())?;
    let host = Host::new(&config.process, &runs)?;
    let services = compose(&config, &host, &runs).await?;
    let process = Process::bind(&config.process, host, services).await?;
    let (grpc, http) = (process.grpc_address()?, process.http_address()?);
    if let Some(held) = &held {
        held.announce(Some(grpc))?;
        output::say(&format!("  data in {}", held.path().display()));
    }
    if let Some(now) = config.process.clock.simulated_from {
        output::say(&format!("  simulated time: it is {now}, and stays so"));
    }
    output::say(&format!("  {} on gRPC {grpc} and HTTP {http}; stop with Ctrl-C", runs.join(", ")));
    process.run().await
}

/// Opening a service migrates its database; that is all.
async fn migrate(config: Config, common: &Common) -> anyhow::Result<()> {
    let runs = chosen(&config.services.run)?;
    let held = match folder_of(&config, common) {
        Some(folder) => Some(Folder::hold_alone(&folder)?),
        None => None,
    };
    let config = match &held {
        Some(held) => settle(config, common, held.path()),
        None => config,
    };
    let host = Host::new(&config.process, &runs)?;
    let services = compose(&config, &host, &runs).await?;
    output::show(&format!("  {} databases are at this version: {}", services.len(), runs.join(", ")))?;
    Ok(())
}

/// Where a command works: on a server, or on a folder in this process.
async fn ask(config: Config, common: &Common, command: Command) -> anyhow::Result<()> {
    let workspace = Workspace::parse(&common.workspace)?;
    if let Some(address) = &common.addr {
        return remote(config, address, workspace, common, command).await;
    }
    let Some(path) = folder_of(&config, common) else {
        if config.process.peers.is_empty() {
            bail!(
                "the databases are shared: say where a server answers with --addr or PERENNIAL_ADDR, or where each \
                 service does in [peers]"
            );
        }
        return elsewhere(config, workspace, common, command).await;
    };
    if !path.exists() && !matches!(command, Command::Import(_) | Command::Keys(_) | Command::Apply { .. }) {
        bail!(
            "there is no data in {}: name the folder with --data-dir or a server with --addr; `perennial import` and \
             `perennial serve` make one",
            path.display()
        );
    }
    match Folder::hold(&path)? {
        Held::Elsewhere(holder) => {
            let Some(address) = holder.grpc else {
                bail!("process {} holds {} and does not answer (yet): try again", holder.pid, path.display());
            };
            remote(config, &address.to_string(), workspace, common, command).await
        }
        Held::Here(folder) => {
            let mut config = settle(config, common, folder.path());
            // A model is fitted when somebody asks for it, not because a command happens to run.
            config.services.scoring.fit_interval_days = 0;
            // Nobody else waits here, and a backtest of many customers takes its time.
            config.process.server.deadline =
                config.process.server.deadline.max(std::time::Duration::from_secs(600));
            let active = active(&command);
            embedded::run(&config, &active, &listening(&command), async |here| {
                let session = Session::new(here.host.mesh.clone(), workspace, common.output).here();
                if active.contains(&"scoring") {
                    caught_up(&here.host.bell).await?;
                }
                execute(&session, command, Some(folder.path()), Some(&here.host)).await
            })
            .await
        }
    }
}

/// Services that take in what others wrote for a command, but do nothing of their own accord: no timers, no sends.
fn listening(command: &Command) -> Vec<&'static str> {
    match command {
        Command::Erase { yes: true, .. } | Command::Merges(Merges::Undo { yes: true, .. }) => {
            vec!["campaign", "loyalty", "notification"]
        }
        _ => vec![],
    }
}

/// The consumers a command needs.
fn active(command: &Command) -> Vec<&'static str> {
    match command {
        Command::Import(_) | Command::Keys(_) | Command::Rejected(_) => vec!["ingestion"],
        Command::Pause { .. } | Command::Resume { .. } => vec![],
        // What goes out is ingestion's, and waits for nobody.
        Command::Export(Export::Orders(_) | Export::Events(_) | Export::Profiles(_) | Export::Catalog(_)) => {
            vec![]
        }
        Command::Erase { .. } | Command::Merges(Merges::Undo { .. }) => {
            vec!["ingestion", "scoring", "segmentation"]
        }
        Command::Score(
            Score::Fit { .. } | Score::Backtest { .. } | Score::Export { .. } | Score::Compare { .. },
        ) => {
            vec!["scoring"]
        }
        _ => vec!["scoring", "segmentation"],
    }
}

async fn remote(
    config: Config,
    address: &str,
    workspace: Workspace,
    common: &Common,
    command: Command,
) -> anyhow::Result<()> {
    let mut config = config;
    let url = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    config.process.peers = ALL.iter().map(|it| ((*it).to_owned(), url.clone())).collect();
    // Whatever else goes wrong later has nothing to do with the address.
    drop(Mesh::new(&config.process, &[]).with_context(|| {
        format!("{address:?} is no address of a server: use one such as localhost:50051")
    })?);
    elsewhere(config, workspace, common, command).await
}

/// On the servers that `[peers]` names.
async fn elsewhere(
    config: Config,
    workspace: Workspace,
    common: &Common,
    command: Command,
) -> anyhow::Result<()> {
    let mut process = config.process;
    if let Some(key) = &common.key {
        process.server.token = key.clone();
    }
    // Fitting a model or previewing a rule may take longer than an ordinary call.
    process.server.deadline = process.server.deadline.max(std::time::Duration::from_secs(600));
    let mesh = Mesh::new(&process, &[])?;
    let session = Session::new(mesh, workspace, common.output);
    execute(&session, command, None, None).await
}

async fn execute(
    session: &Session,
    command: Command,
    folder: Option<&Path>,
    host: Option<&Host>,
) -> anyhow::Result<()> {
    match command {
        Command::Keys(what) => keys::run(session, what).await,
        Command::Import(what) => imports::run(session, what, folder).await,
        Command::Apply { files, dry_run, live, enter_existing } => {
            let what = apply::Apply { files, dry_run, live, enter_existing };
            apply::run(session, what, perennial_campaign::PLAYBOOKS).await?;
            // A new segment's members are found before the command ends.
            match host {
                Some(host) => caught_up(&host.bell).await,
                None => Ok(()),
            }
        }
        Command::Get { kind, name } => get::run(session, &kind, name).await,
        Command::Describe { kind, name } => describe::run(session, &kind, &name).await,
        Command::Score(what) => {
            score::run(session, what).await?;
            match host {
                Some(host) => caught_up(&host.bell).await,
                None => Ok(()),
            }
        }
        Command::Explain { customer, campaign } => explain::run(session, &customer, campaign).await,
        Command::Status => status::run(session).await,
        Command::Pause { campaign, reason } => pause::pause(session, campaign, reason).await,
        Command::Resume { campaign } => pause::resume(session, campaign).await,
        Command::Parked(what) => parked::run(session, what).await,
        Command::Export(what) => match what {
            Export::Orders(what) => exports::orders(session, &what).await,
            Export::Events(what) => exports::events(session, &what).await,
            Export::Profiles(to) => exports::profiles(session, &to).await,
            Export::Catalog(to) => exports::catalog(session, &to).await,
            Export::Person { person, file } => person::export(session, &person, file.as_deref()).await,
        },
        Command::Merges(Merges::List { person }) => merges::list(session, &person).await,
        Command::Merges(Merges::Undo { profile, yes }) => {
            merges::undo(session, &profile, yes).await?;
            match host {
                Some(host) => caught_up(&host.bell).await,
                None => Ok(()),
            }
        }
        Command::Erase { person, yes } => person::erase(session, &person, yes).await,
        Command::Rejected(what) => rejected::run(session, what).await,
        Command::Serve { .. } | Command::Migrate | Command::Config { .. } | Command::Demo(_) => {
            bail!("this command does not ask a server")
        }
    }
}
