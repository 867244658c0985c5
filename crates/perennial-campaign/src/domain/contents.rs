//! What a message brings along for its template.

use super::state::{Instance, State};

/// What a template sees besides the profile: the triggering event with its product or order, and the cart where it is
/// the one meant. Amounts are minor units.
pub fn data(state: &State, instance: &Instance, currency: perennial_types::Currency) -> serde_json::Value {
    let mut data = serde_json::json!({ "event": instance.it });
    if let Some(cart) = &state.cart
        && (instance.key.is_empty() || instance.key == cart.id)
    {
        let line = |(product, name, quantity, price): &(String, String, i64, i64)| {
            let name = if name.is_empty() { product } else { name };
            serde_json::json!({ "product_id": product, "name": name, "quantity": quantity, "price": price })
        };
        let lines: Vec<_> = cart.lines.iter().map(line).collect();
        data["cart"] = serde_json::json!({
            "id": cart.id,
            "total": cart.value(),
            "currency": currency.code(),
            "lines": lines,
        });
    }
    if let Some(id) = instance.it.get("product_id") {
        let mut product = serde_json::json!({ "id": id });
        for name in ["name", "category", "url", "image_url"] {
            if let Some(value) = instance.it.get(name) {
                product[name] = serde_json::json!(value);
            }
        }
        data["product"] = product;
    }
    if let Some(order) = instance.it.get("order_id").map(ToString::to_string)
        && let Some(known) = state.orders.get(&order)
    {
        data["order"] = serde_json::json!({
            "id": order,
            "revenue": known.net_revenue(),
            "discount": known.discount(),
            "currency": currency.code(),
            "placed": known.placed_at().map(|it| it.to_string()),
        });
    }
    data
}
