//! Creating, changing and deleting segments.

use perennial_store::{DatabaseTransaction, Store};
use perennial_types::{Workspace, micros};
use uuid::Uuid;

use super::{App, Preview};
use crate::domain::{KnownEvents, Rules, RulesFault, Segment, Vocabulary, check, references};
use crate::error::{Error, Result};
use crate::store::answers;
use crate::store::segments::{self, Definition, Rulebook};
use crate::worker::compile;

/// Makes a repeated request give the first answer.
#[derive(Clone, Debug)]
pub struct Retry {
    /// The request's id.
    pub id: Uuid,
    /// A hash of method and request.
    pub fingerprint: Vec<u8>,
}

/// What to create or change; what is absent stays as it is.
#[derive(Clone, Debug, Default)]
pub struct SaveSegment {
    /// The bare name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The rule.
    pub rule: Option<String>,
    /// Accept names of events never seen.
    pub allow_unknown_events: Option<bool>,
    /// It may be new.
    pub create: bool,
    /// It may exist.
    pub update: bool,
    /// It must have this etag, if it exists.
    pub etag: Option<u64>,
    /// Check and preview only.
    pub validate_only: bool,
}

/// A segment, and what is asked about it.
#[derive(Clone, Debug)]
pub struct Saved {
    /// The segment.
    pub definition: Definition,
    /// Membership is complete.
    pub live: bool,
    /// Whom it would hold, if only that was asked.
    pub preview: Option<Preview>,
}

impl Saved {
    fn new(definition: Definition, rulebook: &Rulebook) -> Self {
        let live = definition.revision <= rulebook.complete;
        Self { definition, live, preview: None }
    }
}

impl App {
    /// Creates or changes a segment, or says what that would do.
    ///
    /// # Errors
    /// The rule cannot be used, the segment exists or does not, it changed meanwhile, or the database refuses.
    pub async fn save_segment(
        &self,
        workspace: &Workspace,
        ask: SaveSegment,
        retry: Option<Retry>,
    ) -> Result<Saved> {
        let tx = self.store.write().await?;
        if let Some(first) = answered(&tx, workspace, retry.as_ref()).await? {
            let rulebook = segments::rulebook(&tx, workspace).await?;
            return Ok(Saved::new(first, &rulebook));
        }
        let mut rulebook = segments::lock_rulebook(&tx, workspace).await?;
        let mut all = segments::all(&tx, workspace).await?;
        let place = all.iter().position(|it| it.name == ask.name);
        let old = place.map(|it| all[it].clone());
        let definition = self.changed(&ask, old.as_ref(), &rulebook, all.len())?;
        match place {
            Some(place) => all[place] = definition.clone(),
            None => all.push(definition.clone()),
        }
        let seen = segments::event_names(&tx, workspace).await?;
        let candidate = self.candidate(&definition, &all, &seen)?;
        let before = self.reader.fold().in_force(&tx, workspace, &rulebook).await?;
        let lacks = candidate.lacks(&before.rules, |event| seen.iter().any(|it| it == event));
        if ask.validate_only {
            drop(tx);
            let preview = self.preview(workspace, &candidate, &definition.name, lacks).await?;
            return Ok(Saved { preview: Some(preview), ..Saved::new(definition, &rulebook) });
        }
        let edited = old.as_ref().is_none_or(|it| it.rule != definition.rule);
        if edited {
            rulebook.revision = definition.revision;
            rulebook.next_number = rulebook.next_number.max(definition.number + 1);
            if lacks {
                rulebook.refold_floor = definition.revision;
                rulebook.refold_after = None;
            }
            segments::save_rulebook(&tx, workspace, &rulebook).await?;
        }
        segments::save(&tx, workspace, &definition).await?;
        self.record(&tx, workspace, retry, &definition).await?;
        Store::commit(tx).await?;
        if edited {
            self.bell.ring(&Self::backfill_topic());
        }
        Ok(Saved::new(definition, &rulebook))
    }

    /// The definition as it would be.
    fn changed(
        &self,
        ask: &SaveSegment,
        old: Option<&Definition>,
        rulebook: &Rulebook,
        count: usize,
    ) -> Result<Definition> {
        let now = self.clock.now();
        let Some(old) = old else {
            if !ask.create {
                return Err(Error::NoSegment(ask.name.clone()));
            }
            if count >= self.config.max_segments as usize {
                return Err(Error::TooMany(self.config.max_segments));
            }
            return Ok(Definition {
                name: ask.name.clone(),
                number: rulebook.next_number,
                description: ask.description.clone().unwrap_or_default(),
                rule: ask.rule.clone().unwrap_or_default(),
                allow_unknown_events: ask.allow_unknown_events.unwrap_or_default(),
                version: 1,
                revision: rulebook.revision + 1,
                etag: 1,
                created_at: now,
                updated_at: now,
            });
        };
        if !ask.update {
            return Err(Error::Exists(ask.name.clone()));
        }
        if ask.etag.is_some_and(|it| it != old.etag) {
            return Err(Error::Changed(ask.name.clone()));
        }
        let mut new = old.clone();
        if let Some(it) = &ask.description {
            new.description.clone_from(it);
        }
        if let Some(it) = ask.allow_unknown_events {
            new.allow_unknown_events = it;
        }
        if let Some(rule) = ask.rule.as_ref().filter(|it| **it != old.rule) {
            new.rule.clone_from(rule);
            new.version += 1;
            new.revision = rulebook.revision + 1;
        }
        if new != *old {
            new.etag += 1;
            new.updated_at = now;
        }
        Ok(new)
    }

    /// The rules as they would be with this definition, itself checked as strictly as it asks to be.
    fn candidate(&self, definition: &Definition, all: &[Definition], seen: &[String]) -> Result<Rules> {
        let fold = self.reader.fold();
        let vocabulary = Vocabulary {
            events: KnownEvents::with_seen(seen.iter().cloned()),
            any_event: definition.allow_unknown_events,
            currency: self.config.currency,
            segments: all.iter().map(|it| it.name.clone()).collect(),
            stages: fold.stages().iter().map(|it| it.name.clone()).collect(),
        };
        let expr = check(&definition.rule, &vocabulary).map_err(Error::Rule)?;
        if references(&expr).contains(definition.name.as_str()) {
            return Err(Error::Together(RulesFault::Circle(definition.name.clone())));
        }
        // The others are in force already and were checked then.
        let others: Vec<Definition> = all.iter().filter(|it| it.name != definition.name).cloned().collect();
        let mut segments = Vec::with_capacity(all.len());
        let lenient = Vocabulary { events: KnownEvents::default(), any_event: true, ..vocabulary };
        for it in &others {
            let expr = check(&it.rule, &lenient).map_err(Error::Rule)?;
            segments.push(Segment {
                number: it.number,
                name: it.name.clone(),
                expr,
                version: it.version,
                revision: it.revision,
            });
        }
        segments.push(Segment {
            number: definition.number,
            name: definition.name.clone(),
            expr,
            version: definition.version,
            revision: definition.revision,
        });
        let revision = definition.revision;
        Rules::new(self.config.currency, fold.stages().to_vec(), segments, revision).map_err(Error::Together)
    }

    async fn record(
        &self,
        tx: &DatabaseTransaction,
        workspace: &Workspace,
        retry: Option<Retry>,
        definition: &Definition,
    ) -> Result<()> {
        if let Some(Retry { id, fingerprint }) = retry {
            let answer = serde_json::to_vec(definition).unwrap_or_default();
            answers::record(tx, workspace, id, fingerprint, answer, micros(self.clock.now())).await?;
        }
        Ok(())
    }

    /// Reads a segment.
    ///
    /// # Errors
    /// There is none, or the database refuses.
    pub async fn segment(&self, workspace: &Workspace, name: &str) -> Result<Saved> {
        let db = self.store.read();
        let definition = segments::find(db, workspace, name).await?;
        let definition = definition.ok_or_else(|| Error::NoSegment(name.to_owned()))?;
        Ok(Saved::new(definition, &segments::rulebook(db, workspace).await?))
    }

    /// Segments after a name.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn segments(&self, workspace: &Workspace, after: &str, limit: u64) -> Result<Vec<Saved>> {
        let db = self.store.read();
        let rulebook = segments::rulebook(db, workspace).await?;
        let found = segments::page(db, workspace, after, limit).await?;
        Ok(found.into_iter().map(|it| Saved::new(it, &rulebook)).collect())
    }

    /// Deletes a segment.
    ///
    /// # Errors
    /// There is none, it changed meanwhile, others ask for it, or the database refuses.
    pub async fn delete_segment(
        &self,
        workspace: &Workspace,
        name: &str,
        etag: Option<u64>,
        allow_missing: bool,
        retry: Option<Retry>,
    ) -> Result<()> {
        let tx = self.store.write().await?;
        if answered(&tx, workspace, retry.as_ref()).await?.is_some() {
            return Ok(());
        }
        let mut rulebook = segments::lock_rulebook(&tx, workspace).await?;
        let mut all = segments::all(&tx, workspace).await?;
        let Some(place) = all.iter().position(|it| it.name == name) else {
            return if allow_missing { Ok(()) } else { Err(Error::NoSegment(name.to_owned())) };
        };
        let definition = all.remove(place);
        if etag.is_some_and(|it| it != definition.etag) {
            return Err(Error::Changed(name.to_owned()));
        }
        let in_force = self.reader.fold().in_force(&tx, workspace, &rulebook).await?;
        let asking = in_force.rules.segments.iter().filter(|it| references(&it.expr).contains(name));
        let by: Vec<&str> = asking.map(|it| it.name.as_str()).collect();
        if !by.is_empty() {
            return Err(Error::InUse { segment: name.to_owned(), by: by.join(", ") });
        }
        rulebook.revision += 1;
        segments::save_rulebook(&tx, workspace, &rulebook).await?;
        segments::delete(&tx, workspace, &definition).await?;
        self.record(&tx, workspace, retry, &definition).await?;
        // What remains must be sound, or no batch could be folded any more.
        compile(self.config.currency, self.reader.fold().stages(), &all, rulebook.revision)?;
        Store::commit(tx).await?;
        self.bell.ring(&Self::backfill_topic());
        Ok(())
    }

    /// How many profiles a workspace has.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn profiles(&self, workspace: &Workspace) -> Result<i64> {
        Ok(i64::try_from(self.reader.count_states(workspace).await?).unwrap_or(i64::MAX))
    }
}

async fn answered(
    tx: &DatabaseTransaction,
    workspace: &Workspace,
    retry: Option<&Retry>,
) -> Result<Option<Definition>> {
    let Some(retry) = retry else { return Ok(None) };
    match answers::find(tx, workspace, retry.id).await? {
        None => Ok(None),
        Some((fingerprint, _)) if fingerprint != retry.fingerprint => Err(Error::RequestIdReused),
        Some((_, answer)) => {
            let corrupt = |error: serde_json::Error| perennial_store::StoreError::Corrupt {
                what: "answer",
                reason: error.to_string(),
            };
            Ok(Some(serde_json::from_slice(&answer).map_err(corrupt)?))
        }
    }
}
