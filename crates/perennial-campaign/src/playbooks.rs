//! The playbooks that the product ships: offers, templates and campaigns, ready to be applied.

/// Files of `playbooks/` by path, in the order in which to apply them: offers, templates, campaigns. Campaigns start as
/// drafts: switching one on is a decision.
pub const PLAYBOOKS: &[(&str, &str)] = &[
    ("offers/birthday.yaml", include_str!("../playbooks/offers/birthday.yaml")),
    ("offers/come-back.yaml", include_str!("../playbooks/offers/come-back.yaml")),
    ("offers/first-order.yaml", include_str!("../playbooks/offers/first-order.yaml")),
    ("offers/free-shipping.yaml", include_str!("../playbooks/offers/free-shipping.yaml")),
    ("offers/second-order.yaml", include_str!("../playbooks/offers/second-order.yaml")),
    ("offers/ten-percent.yaml", include_str!("../playbooks/offers/ten-percent.yaml")),
    ("offers/trial-month.yaml", include_str!("../playbooks/offers/trial-month.yaml")),
    ("at-risk-save/at-risk-offer.yaml", include_str!("../playbooks/at-risk-save/at-risk-offer.yaml")),
    ("at-risk-save/at-risk-reason.yaml", include_str!("../playbooks/at-risk-save/at-risk-reason.yaml")),
    ("at-risk-save/at-risk-service.yaml", include_str!("../playbooks/at-risk-save/at-risk-service.yaml")),
    ("birthday/birthday-treat.yaml", include_str!("../playbooks/birthday/birthday-treat.yaml")),
    ("browse/browse-product.yaml", include_str!("../playbooks/browse/browse-product.yaml")),
    ("cart/cart-free-shipping.yaml", include_str!("../playbooks/cart/cart-free-shipping.yaml")),
    ("cart/cart-help.yaml", include_str!("../playbooks/cart/cart-help.yaml")),
    ("cart/cart-reminder.yaml", include_str!("../playbooks/cart/cart-reminder.yaml")),
    ("checkout/checkout-reassurance.yaml", include_str!("../playbooks/checkout/checkout-reassurance.yaml")),
    ("community/community-invitation.yaml", include_str!("../playbooks/community/community-invitation.yaml")),
    ("csat/csat-detractor.yaml", include_str!("../playbooks/csat/csat-detractor.yaml")),
    ("csat/csat-question.yaml", include_str!("../playbooks/csat/csat-question.yaml")),
    ("dunning/dunning-notice.yaml", include_str!("../playbooks/dunning/dunning-notice.yaml")),
    ("dunning/dunning-pause.yaml", include_str!("../playbooks/dunning/dunning-pause.yaml")),
    ("dunning/dunning-reminder.yaml", include_str!("../playbooks/dunning/dunning-reminder.yaml")),
    ("first-order/first-order-credit.yaml", include_str!("../playbooks/first-order/first-order-credit.yaml")),
    (
        "first-order/first-order-reminder.yaml",
        include_str!("../playbooks/first-order/first-order-reminder.yaml"),
    ),
    ("free-trial/trial-first-steps.yaml", include_str!("../playbooks/free-trial/trial-first-steps.yaml")),
    ("free-trial/trial-last-call.yaml", include_str!("../playbooks/free-trial/trial-last-call.yaml")),
    ("free-trial/trial-not-used-yet.yaml", include_str!("../playbooks/free-trial/trial-not-used-yet.yaml")),
    ("free-trial/trial-offer.yaml", include_str!("../playbooks/free-trial/trial-offer.yaml")),
    (
        "post-purchase/after-purchase-bonus.yaml",
        include_str!("../playbooks/post-purchase/after-purchase-bonus.yaml"),
    ),
    (
        "post-purchase/after-purchase-use.yaml",
        include_str!("../playbooks/post-purchase/after-purchase-use.yaml"),
    ),
    ("referral/referral-invitation.yaml", include_str!("../playbooks/referral/referral-invitation.yaml")),
    (
        "reorder-ladder/reorder-free-shipping.yaml",
        include_str!("../playbooks/reorder-ladder/reorder-free-shipping.yaml"),
    ),
    ("reorder-ladder/reorder-plain.yaml", include_str!("../playbooks/reorder-ladder/reorder-plain.yaml")),
    (
        "reorder-ladder/reorder-ten-percent.yaml",
        include_str!("../playbooks/reorder-ladder/reorder-ten-percent.yaml"),
    ),
    (
        "review-request/review-low-rating.yaml",
        include_str!("../playbooks/review-request/review-low-rating.yaml"),
    ),
    ("review-request/review-request.yaml", include_str!("../playbooks/review-request/review-request.yaml")),
    (
        "service-recovery/recovery-apology.yaml",
        include_str!("../playbooks/service-recovery/recovery-apology.yaml"),
    ),
    (
        "service-recovery/recovery-check.yaml",
        include_str!("../playbooks/service-recovery/recovery-check.yaml"),
    ),
    ("service-recovery/recovery-task.yaml", include_str!("../playbooks/service-recovery/recovery-task.yaml")),
    ("welcome/welcome-benefits.yaml", include_str!("../playbooks/welcome/welcome-benefits.yaml")),
    ("welcome/welcome-guide.yaml", include_str!("../playbooks/welcome/welcome-guide.yaml")),
    ("welcome/welcome-reason.yaml", include_str!("../playbooks/welcome/welcome-reason.yaml")),
    ("win-back/win-back-goodbye.yaml", include_str!("../playbooks/win-back/win-back-goodbye.yaml")),
    ("win-back/win-back-news.yaml", include_str!("../playbooks/win-back/win-back-news.yaml")),
    ("win-back/win-back-offer.yaml", include_str!("../playbooks/win-back/win-back-offer.yaml")),
    ("at-risk-save/campaign.yaml", include_str!("../playbooks/at-risk-save/campaign.yaml")),
    ("birthday/campaign.yaml", include_str!("../playbooks/birthday/campaign.yaml")),
    ("browse/campaign.yaml", include_str!("../playbooks/browse/campaign.yaml")),
    ("cart/campaign.yaml", include_str!("../playbooks/cart/campaign.yaml")),
    ("checkout/campaign.yaml", include_str!("../playbooks/checkout/campaign.yaml")),
    ("community/campaign.yaml", include_str!("../playbooks/community/campaign.yaml")),
    ("csat/campaign.yaml", include_str!("../playbooks/csat/campaign.yaml")),
    ("dunning/campaign.yaml", include_str!("../playbooks/dunning/campaign.yaml")),
    ("first-order/campaign.yaml", include_str!("../playbooks/first-order/campaign.yaml")),
    ("free-trial/campaign.yaml", include_str!("../playbooks/free-trial/campaign.yaml")),
    ("post-purchase/campaign.yaml", include_str!("../playbooks/post-purchase/campaign.yaml")),
    ("referral/campaign.yaml", include_str!("../playbooks/referral/campaign.yaml")),
    ("reorder-ladder/campaign.yaml", include_str!("../playbooks/reorder-ladder/campaign.yaml")),
    ("review-request/campaign.yaml", include_str!("../playbooks/review-request/campaign.yaml")),
    ("service-recovery/campaign.yaml", include_str!("../playbooks/service-recovery/campaign.yaml")),
    ("welcome/campaign.yaml", include_str!("../playbooks/welcome/campaign.yaml")),
    ("win-back/campaign.yaml", include_str!("../playbooks/win-back/campaign.yaml")),
];

#[cfg(test)]
mod tests {
    use super::PLAYBOOKS;
    use crate::domain::definition;
    use perennial_types::Currency;
    use std::collections::BTreeSet;

    /// The name that a file of this kind gives.
    fn named<'a>(text: &'a str, kind: &str) -> Option<&'a str> {
        let field = |name: &str| text.lines().find_map(|it| it.strip_prefix(name));
        (field("kind: ") == Some(kind)).then(|| field("name: ")).flatten()
    }

    #[test]
    fn every_campaign_reads_and_finds_its_templates_and_offers() {
        let names = |kind: &str| -> BTreeSet<&str> {
            PLAYBOOKS.iter().filter_map(|(_, it)| named(it, kind)).collect()
        };
        let (templates, offers, mut used) = (names("Template"), names("Offer"), BTreeSet::new());
        for (path, text) in PLAYBOOKS.iter().filter(|(_, it)| named(it, "Campaign").is_some()) {
            let campaign =
                definition::read(text, Currency::EUR).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(campaign.warnings(), Vec::<String>::new(), "{path}");
            for message in campaign.messages() {
                assert!(templates.contains(message.template.as_str()), "{path}: {}", message.template);
                used.insert(message.template.clone());
                if let Some(offer) = &message.offer {
                    assert!(offers.contains(offer.coupon.as_str()), "{path}: {}", offer.coupon);
                }
            }
        }
        assert_eq!(used.len(), templates.len(), "every template is used");
    }
}
