//! The catalogue: products in, products out, and which of their changes count.

use perennial_feed::Topic;
use perennial_store::{DatabaseTransaction, Store};
use perennial_types::{Currency, Timestamp, Workspace};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use super::App;
use crate::domain::catalogue::batch::{Batch, Written};
use crate::domain::catalogue::guard::{Guard, ProductChange, price_drop};
use crate::domain::catalogue::product::{Change, Product, Told};
use crate::domain::problem::Problem;
use crate::domain::settings::Settings;
use crate::error::{Error, Result};
use crate::store::catalogue::{self, Head};
use crate::store::prices::{self, Entry};
use crate::store::products::{self, Filter};

/// Most products that are settled in one transaction.
const CHUNK: i64 = 1_000;
/// At least this often it is looked for products that another process left due.
const ROUND: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
/// After a failure, this much later.
const AGAIN: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);

/// Rings when products are waited for that were not before.
fn topic() -> Topic {
    Topic::other("ingestion catalogue")
}

impl App {
    /// The settings that products are understood by, and the instant they are told at. The first amounts decide the
    /// currency of a workspace that has none, unless `dry`; `amounts` says which one they name, if there are any.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn catalogue_settings(
        &self,
        workspace: &Workspace,
        amounts: Option<Option<Currency>>,
        dry: bool,
    ) -> Result<(Arc<Settings>, Timestamp)> {
        let now = self.clock.now();
        let (settings, fixed) = self.book.with_currency(workspace).await?;
        let Some(named) = amounts.filter(|_| !fixed) else { return Ok((settings, now)) };
        let currency = named.unwrap_or(settings.currency);
        if dry {
            return Ok((Arc::new(Settings { currency, ..(*settings).clone() }), now));
        }
        Ok((self.book.adopt(workspace, currency).await?, now))
    }

    /// Takes in what a feed says of products, and tells what became of each. `dry`: tells only.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn upsert_products(
        &self,
        workspace: &Workspace,
        told: Vec<std::result::Result<Told, Problem>>,
        dry: bool,
    ) -> Result<Vec<std::result::Result<Change, Problem>>> {
        let ids: BTreeSet<&str> = told.iter().flatten().map(|it| it.id.as_str()).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        let hear = |stored: Vec<Product>, now: Timestamp| {
            let mut batch = Batch::new(stored, now, self.guard);
            let outcomes = told.iter().map(|it| match it {
                Ok(told) => Ok(batch.hear(told)),
                Err(problem) => Err(problem.clone()),
            });
            let outcomes: Vec<_> = outcomes.collect();
            (batch, outcomes)
        };
        if dry || ids.is_empty() {
            let stored = products::load(self.store.read(), workspace, ids).await?;
            return Ok(hear(stored, self.clock.now()).1);
        }
        let tx = self.store.write().await?;
        let head = catalogue::lock(&tx, workspace, self.clock.now()).await?;
        // From here on nobody else changes this catalogue: instants rise with versions.
        let now = self.clock.now();
        let stored = products::load(&tx, workspace, ids).await?;
        let (batch, outcomes) = hear(stored, now);
        self.write(tx, workspace, head, batch, now).await?;
        Ok(outcomes)
    }

    /// Writes what came of a batch, and commits.
    async fn write(
        &self,
        tx: DatabaseTransaction,
        workspace: &Workspace,
        mut head: Head,
        batch: Batch,
        now: Timestamp,
    ) -> Result<()> {
        let Written { products: changed, new, priced, content, became_cheaper, mut changes } =
            batch.finish((head.products > 0).then_some(head.created));
        if changed.is_empty() {
            return Ok(());
        }
        changes.extend(self.dropped(&tx, workspace, &became_cheaper).await?);
        changes.sort_by(|a, b| (a.at, &a.product, a.kind.as_str()).cmp(&(b.at, &b.product, b.kind.as_str())));
        products::save(&tx, workspace, &changed).await?;
        prices::add(&tx, workspace, now, priced.into_iter().filter_map(|it| changed.get(it))).await?;
        if head.products == 0 {
            head.created = now;
        }
        head.products += new;
        head.version += i64::from(content);
        head.costed |= changed.iter().any(|it| it.cost.is_some());
        head.position = catalogue::add_changes(&tx, workspace, head.position, &changes).await?;
        catalogue::advance(&tx, workspace, head).await?;
        Store::commit(tx).await?;
        self.costs.forget(workspace);
        if changed.iter().any(|it| it.held.due().is_some()) {
            self.bell.ring(&topic());
        }
        Ok(())
    }

    /// Which of the products that became cheaper are so against all of their window.
    async fn dropped(
        &self,
        tx: &DatabaseTransaction,
        workspace: &Workspace,
        cheaper: &[(Product, Timestamp)],
    ) -> Result<Vec<ProductChange>> {
        let Some(first) = cheaper.iter().map(|it| it.1).min() else { return Ok(Vec::new()) };
        let since = first.checked_sub(self.guard.window).unwrap_or(Timestamp::MIN);
        let ids = cheaper.iter().map(|it| it.0.id.as_str()).collect();
        let asked = prices::asked(tx, workspace, ids, since).await?;
        let drop = |(product, at): &(Product, Timestamp)| {
            price_drop(product, *at, asked.get(&product.id)?, &self.guard)
        };
        Ok(cheaper.iter().filter_map(drop).collect())
    }

    /// One product.
    ///
    /// # Errors
    /// [`Error::NoProduct`] if it is not known; if the database refuses.
    pub async fn product(&self, workspace: &Workspace, id: &str) -> Result<Product> {
        let found = products::load(self.store.read(), workspace, vec![id]).await?.pop();
        found.ok_or_else(|| Error::NoProduct(id.chars().take(200).collect()))
    }

    /// A page of products, by id.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn products(
        &self,
        workspace: &Workspace,
        filter: &Filter,
        after: &str,
        limit: u64,
    ) -> Result<Vec<Product>> {
        Ok(products::list(self.store.read(), workspace, filter, after, limit).await?)
    }

    /// A page of categories with the number of products in each, by name.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn categories(
        &self,
        workspace: &Workspace,
        after: &str,
        limit: u64,
    ) -> Result<Vec<(String, i64)>> {
        Ok(products::categories(self.store.read(), workspace, after, limit).await?)
    }

    /// A page of what a product was sold for and what it cost, newest first; `before` in microseconds.
    ///
    /// # Errors
    /// [`Error::NoProduct`] if it is not known; if the database refuses.
    pub async fn prices(
        &self,
        workspace: &Workspace,
        product: &str,
        before: i64,
        limit: u64,
    ) -> Result<Vec<Entry>> {
        let product = self.product(workspace, product).await?;
        Ok(prices::list(self.store.read(), workspace, &product.id, before, limit).await?)
    }

    /// A page of changes that count, after a position, oldest first.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn product_changes(
        &self,
        workspace: &Workspace,
        after: i64,
        limit: u64,
    ) -> Result<Vec<(i64, ProductChange)>> {
        Ok(catalogue::changes(self.store.read(), workspace, after, limit).await?)
    }

    /// Lets prices and stock that held long enough take their place, each at its instant, until told to stop.
    ///
    /// # Errors
    /// Never.
    pub async fn watch_catalogue(self, stop: CancellationToken) -> anyhow::Result<()> {
        let listener = self.bell.listener("ingestion catalogue", [topic()]).beside_others(&self.store);
        while !stop.is_cancelled() {
            let later = |by| self.clock.now().checked_add(by).unwrap_or(Timestamp::MAX);
            let next = match self.settle_due(&stop).await {
                Ok(next) => next.map_or_else(|| later(ROUND), |it| it.min(later(ROUND))),
                Err(error) => {
                    tracing::warn!(error = %perennial_rpc::Chain(&error), "changes of products are put off");
                    later(AGAIN)
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = listener.idle(Some(next)) => {}
            }
        }
        Ok(())
    }

    /// Settles everything that is due by now, unless told to stop; says when the next is.
    async fn settle_due(&self, stop: &CancellationToken) -> Result<Option<Timestamp>> {
        // After a sale begins there may be a whole catalogue to settle.
        while !stop.is_cancelled() {
            let Some((workspace, due)) = products::next_due(self.store.read()).await? else {
                return Ok(None);
            };
            if due > self.clock.now() {
                return Ok(Some(due));
            }
            let workspace = Workspace::parse(&workspace)?;
            let tx = self.store.write().await?;
            let head = catalogue::lock(&tx, &workspace, self.clock.now()).await?;
            let now = self.clock.now();
            let stored = products::due(&tx, &workspace, now, CHUNK).await?;
            let batch = Batch::new(stored, now, self.guard);
            self.write(tx, &workspace, head, batch, now).await?;
        }
        Ok(None)
    }
}

impl crate::config::CatalogConfig {
    /// What these settings mean for products.
    pub fn guard(&self) -> Guard {
        let seconds = |it: u64| jiff::SignedDuration::from_secs(i64::try_from(it).unwrap_or(i64::MAX));
        Guard {
            hold: seconds(self.hold_s),
            window: jiff::SignedDuration::from_hours(i64::from(self.price_window_days) * 24),
            drop_per_mille: i64::from(self.price_drop_per_mille),
            new_after: seconds(self.new_after_s),
        }
    }
}
