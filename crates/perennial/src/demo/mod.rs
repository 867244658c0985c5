//! `perennial demo`: the whole product on a simulated year, with customers whose truth is known.
//!
//! Only two things are not in earnest: the clock, which one driver moves, and the customers. Everything between them is
//! the product: events go in over its API, messages come out into a mail folder, customers follow the links in them.

mod browser;
mod clocks;
mod drive;
pub mod fingerprint;
mod inbox;
mod screen;

use std::path::Path;

use anyhow::{Context, bail, ensure};
use perennial_store::Durability;
use perennial_types::{Currency, Timestamp, Workspace};

use crate::cli::Demo;
use crate::commands::apply;
use crate::compose::ALL;
use crate::config::Config;
use crate::embedded::{self, Simulated};
use crate::folder::Folder;
use crate::output::Format;
use crate::session::Session;
use crate::simulator::{Settings, Shop};

pub use clocks::Clocks;
pub use drive::{Driven, World, drive};

/// When the simulated time begins.
const START: &str = "2025-03-03T00:00:00Z";

/// The playbooks that are switched on, and how long after entry an order counts for them, in hours.
pub const PLAYBOOKS: [(&str, f64); 3] =
    [("welcome", 14.0 * 24.0), ("cart", 7.0 * 24.0), ("at-risk-save", 30.0 * 24.0)];

/// The settings of the demo's shop, whose data may be looked at afterwards.
#[must_use]
pub fn settings(mut config: Config) -> Config {
    config = config.in_currency(Currency::EUR);
    let notification = &mut config.services.notification;
    notification.from = "Linden & Co <hello@linden.example>".to_owned();
    notification.shop.name = "Linden & Co".to_owned();
    notification.shop.url = "https://linden.example".to_owned();
    config
}

/// Simulates, and tells how it went: the screen for people, or JSON for programs.
///
/// # Errors
/// If the folder holds something else, or a service fails.
pub async fn run(config: Config, what: &Demo, folder: &Path, format: Format) -> anyhow::Result<String> {
    let start: Timestamp = START.parse().context("the demo's first day")?;
    let held = fresh(folder)?;
    let mut config = settings(config.in_folder(held.path()));
    config.process.clock.simulated_from = Some(start);
    for database in config.databases_mut() {
        // What a crash would lose can be simulated again.
        database.durability = Durability::Relaxed;
    }
    let mail = held.path().join("maildir");
    config.services.notification.maildir.folder = mail.clone();
    config.services.notification.maildir.sync = false;
    config.services.scoring.fit_interval_days = 56;
    // What happened within the present slice is news, however long that is.
    config.services.ingestion.live_max_age_s = u64::from(what.slice) * 3_600;
    let shop = Shop::new(Settings { seed: what.seed, customers: what.customers, days: what.days, start });
    embedded::run(&config, &ALL, &[], async |here| {
        let workspace = Workspace::parse("main")?;
        let session = Session::new(here.host.mesh.clone(), workspace, format).here();
        if format == Format::Table {
            crate::output::say(&screen::headline(what));
        }
        switch_on(&session, what).await?;
        let clock = here.host.mesh.transport("perennial.clock.v1.ClockService");
        let (clocks, http) = (Clocks::new([clock]), here.http);
        let world = World { clocks, http, mail: mail.clone(), script: Vec::new() };
        let driven = drive(&session, world, shop, what).await?;
        Simulated { now: driven.end }.keep(held.path())?;
        match format {
            Format::Table => screen::draw(&session, &driven, held.path()).await,
            Format::Json => screen::json(&session, &driven, what).await,
        }
    })
    .await
}

/// An empty folder, or one that an earlier demo left, which is emptied.
fn fresh(folder: &Path) -> anyhow::Result<Folder> {
    let ours = Simulated::of(folder).is_some() || folder.join("demo").exists();
    let empty = std::fs::read_dir(folder).map_or(true, |mut it| it.next().is_none());
    ensure!(
        ours || empty,
        "{} holds data that no demo made: name another --data-dir, nothing was touched",
        folder.display()
    );
    let held = Folder::hold_alone(folder)?;
    for entry in std::fs::read_dir(folder).context("the data folder cannot be read")? {
        let path = entry?.path();
        if path.file_name().is_some_and(|it| it.to_string_lossy().starts_with("perennial.")) {
            continue;
        }
        let removed =
            if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.with_context(|| format!("{} cannot be removed", path.display()))?;
    }
    std::fs::write(folder.join("demo"), "made by `perennial demo`; may be deleted\n")?;
    Ok(held)
}

/// Lets the playbooks run, with the demo's holdout. Nothing is too late that is late only because time moves in steps.
///
/// # Errors
/// If a service refuses one of them.
pub async fn switch_on(session: &Session, what: &Demo) -> anyhow::Result<()> {
    let (holdout, grace) = (what.holdout, what.slice);
    // A folder of its own: two simulations may run in one process.
    let name = format!("perennial-demo-{}", perennial_types::new_id(perennial_types::from_micros(0)));
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).context("no folder for the playbooks")?;
    let mut files = Vec::new();
    for (playbook, _) in PLAYBOOKS {
        let documents = crate::commands::documents::read(
            &[format!("playbook:{playbook}").into()],
            perennial_campaign::PLAYBOOKS,
        )?;
        for (number, it) in documents.into_iter().enumerate() {
            let held_out = |line: &str| match line.starts_with("holdout:") {
                true => format!("holdout: {holdout}%\ngrace: {grace}h"),
                false => line.to_owned(),
            };
            let text: Vec<String> = it.text.lines().map(held_out).collect();
            let path = folder.join(format!("{playbook}-{number:02}.yaml"));
            std::fs::write(&path, text.join("\n"))?;
            files.push(path);
        }
    }
    let applied = apply::apply(
        session,
        &apply::Apply { files, dry_run: false, live: true, enter_existing: false },
        &[],
    )
    .await;
    drop(std::fs::remove_dir_all(&folder));
    let (_, broken) = applied?;
    if let Some(error) = broken.first() {
        bail!("a playbook cannot be applied: {error}");
    }
    Ok(())
}
