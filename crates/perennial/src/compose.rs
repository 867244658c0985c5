//! The page that knows the whole: which services there are, and what each is given.

use anyhow::{Context, ensure};
use perennial_runtime::{Host, Service};

use crate::config::{Config, Services};

/// Every service, in the order in which a fact travels.
pub const ALL: [&str; 6] = ["ingestion", "scoring", "segmentation", "campaign", "loyalty", "notification"];

/// The services that `wanted` names; all of them if it names none.
///
/// # Errors
/// If a name is none of a service.
pub fn chosen(wanted: &[String]) -> anyhow::Result<Vec<&'static str>> {
    if let Some(unknown) = wanted.iter().find(|it| !ALL.contains(&it.as_str())) {
        ensure!(false, "{unknown:?} is no service: use {}", ALL.join(", "));
    }
    Ok(ALL.into_iter().filter(|it| wanted.is_empty() || wanted.iter().any(|name| name == it)).collect())
}

/// Opens services, each with its own section of the configuration and its own database.
///
/// # Errors
/// Which service cannot be opened, and why.
pub async fn compose(config: &Config, host: &Host, runs: &[&str]) -> anyhow::Result<Vec<Service>> {
    let Services { run: _, ingestion, scoring, segmentation, campaign, loyalty, notification } =
        config.services.clone();
    let mut services = Vec::new();
    for name in runs {
        let service = match *name {
            "ingestion" => perennial_ingestion::service(ingestion.clone(), host).await,
            "scoring" => perennial_scoring::service(scoring.clone(), host).await,
            "segmentation" => perennial_segmentation::service(segmentation.clone(), host).await,
            "campaign" => perennial_campaign::service(campaign.clone(), host).await,
            "loyalty" => perennial_loyalty::service(loyalty.clone(), host).await,
            _ => perennial_notification::service(notification.clone(), host).await,
        };
        services.push(service.with_context(|| format!("the service {name} cannot be opened"))?);
    }
    Ok(services)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_run_in_the_order_in_which_a_fact_travels() {
        let names = |it: &[&str]| it.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        assert_eq!(chosen(&[]).unwrap(), ALL);
        assert_eq!(chosen(&names(&["campaign", "ingestion"])).unwrap(), ["ingestion", "campaign"]);
        assert!(chosen(&names(&["scorin"])).unwrap_err().to_string().contains("use ingestion, scoring"));
    }
}
