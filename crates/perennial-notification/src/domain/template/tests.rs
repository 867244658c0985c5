use serde_json::json;

use super::*;

fn template(text: &str) -> Template {
    Template {
        name: "hello".to_owned(),
        subject: "Hello".to_owned(),
        text: text.to_owned(),
        html: None,
        variables: vec![],
        description: String::new(),
    }
}

fn data() -> Map<String, Value> {
    let value = json!({
        "profile": { "first_name": "Ana <b>", "time_zone": "Europe/Madrid" },
        "shop": { "currency": "EUR", "name": "Linden & Co" },
        "cart": { "id": "c1", "total": 42.5, "lines": [
            { "product_id": "p1", "name": "Lamp", "quantity": 1, "price": "40.00" },
            { "product_id": "p2", "quantity": 2, "price": 1.25 },
        ] },
        "coupon": { "code": "TEN-7", "expires": "2026-03-08T23:30:00Z" },
    });
    match value {
        Value::Object(it) => it,
        _ => unreachable!(),
    }
}

fn rendered(text: &str) -> Result<String, TemplateError> {
    Ok(template(text).compile()?.render(&data())?.text)
}

#[test]
fn variables_loops_money_and_dates_render() {
    let text = "{% for line in cart.lines %}{{ forloop.index }}. {{ line.quantity }} × {{ line.name | default: \"item\" }} \
                {{ line.price | money }}\n{% endfor %}Total {{ cart.total | money }}, {{ coupon.code }} until \
                {{ coupon.expires | date: \"%-d %B %H:%M\" }}";
    let expected = "1. 1 × Lamp 40.00 EUR\n2. 2 × item 1.25 EUR\nTotal 42.50 EUR, TEN-7 until 9 March 00:30";
    assert_eq!(rendered(text).unwrap(), expected);
}

#[test]
fn what_a_customer_lacks_is_empty_and_takes_a_default() {
    let text = "Hi {{ profile.nickname | default: \"there\" }}{{ profile.address.city }}{{ order.id }}\
                {% for it in order.lines %}x{% else %}, no order{% endfor %}{{ products.first.name }}";
    assert_eq!(rendered(text).unwrap(), "Hi there, no order");
}

#[test]
fn an_unknown_variable_is_refused_before_launch_in_a_branch_never_taken_too() {
    let refused =
        template("a\n{% if false %}{{ cart.totl | money }}{% endif %}").compile().unwrap_err().to_string();
    assert_eq!(
        refused,
        "template hello: text, line 2: cart.totl: cart has no \"totl\"; did you mean \"total\"?"
    );
    let refused = template("{{ profil.first_name }}").compile().unwrap_err().to_string();
    assert!(refused.contains("there is no variable \"profil\"; did you mean \"profile\"?"), "{refused}");
    let refused =
        template("{% for l in cart.lines %}{{ l.prise }}{% endfor %}").compile().unwrap_err().to_string();
    assert!(refused.contains("cart.lines has no \"prise\"; did you mean \"price\"?"), "{refused}");
    let refused =
        template("{% for l in cart.lines %}{% endfor %}{{ l.price }}").compile().unwrap_err().to_string();
    assert!(refused.contains("there is no variable \"l\""), "{refused}");
    let refused = template("{{ cart.id | mony }}").compile().unwrap_err().to_string();
    assert!(refused.contains("there is no filter \"mony\"; did you mean \"money\"?"), "{refused}");
}

#[test]
fn a_declared_variable_and_an_assigned_one_are_known() {
    let mut it = template(
        "{% assign n = cart.lines | size %}{{ n }} {{ gift.name }}{% capture x %}a{% endcapture %}{{ x }}",
    );
    assert!(it.compile().unwrap_err().to_string().contains("gift"));
    it.variables = vec!["gift".to_owned()];
    assert_eq!(it.compile().unwrap().render(&data()).unwrap().text, "2 a");
}

#[test]
fn html_is_escaped_unless_raw_is_asked_for() {
    let mut it = template("{{ profile.first_name }}");
    it.html = Some(
        "<p title=\"{{ profile.first_name }}\">{{ shop.name | upcase }} {{ shop.name | raw }}</p>".to_owned(),
    );
    let rendered = it.compile().unwrap().render(&data()).unwrap();
    assert_eq!(rendered.text, "Ana <b>");
    assert_eq!(rendered.html.unwrap(), "<p title=\"Ana &lt;b&gt;\">LINDEN &amp; CO Linden & Co</p>");
}

#[test]
fn a_template_can_refuse_to_send() {
    let stopped = rendered("{% if cart.total < 50 %}{% stop \"cart too small\" %}{% endif %}x").unwrap_err();
    assert_eq!(stopped, TemplateError::Stopped("cart too small".to_owned()));
}

#[test]
fn runaway_templates_end_with_the_limit_they_passed() {
    let turns = "{% for a in (1..1000) %}{% for b in (1..1000) %}{% endfor %}{% endfor %}";
    assert!(rendered(turns).unwrap_err().to_string().contains("loops turn more than 10000 times"));
    let long = "0123456789".repeat(100);
    let much = format!("{{% for a in (1..1000) %}}{{% for b in (1..9) %}}{long}{{% endfor %}}{{% endfor %}}");
    let refused = rendered(&much).unwrap_err().to_string();
    assert!(
        refused.contains("it renders to more than 1048576 bytes") || refused.contains("steps"),
        "{refused}"
    );
    let grows = "{% assign x = \"ab\" %}{% for a in (1..100) %}{% assign x = x | append: x %}{% endfor %}";
    assert!(rendered(grows).unwrap_err().to_string().contains("a value larger than 65536 bytes"));
    let range = template("{% for a in (1..cart.total) %}{% endfor %}").compile().unwrap_err().to_string();
    assert!(range.contains("two whole numbers at most 1000 apart"), "{range}");
    let deep = "{% if true %}".repeat(5_000) + &"{% endif %}".repeat(5_000);
    assert!(template(&deep).compile().unwrap_err().to_string().contains("nest deeper"));
    assert!(template(&format!("{{{{ a{} }}}}", "[a".repeat(10_000))).compile().is_err());
}

#[test]
fn blocks_that_do_not_close_name_their_line() {
    let open = template("a\n{% if cart.id %}b").compile().unwrap_err().to_string();
    assert!(open.contains("line 2: {% if %} is never closed: add {% endif %}"), "{open}");
    let crossed = template("{% for l in cart.lines %}{% endif %}").compile().unwrap_err().to_string();
    assert!(crossed.contains("use {% endfor %}"), "{crossed}");
    assert!(template("{{ cart.id").compile().unwrap_err().to_string().contains("never closed"));
}

#[test]
fn raw_comments_trimming_and_cases_pass_through() {
    let text = "{% raw %}{{ not.ours }}{% endraw %}[{%- comment -%} {{ nor.this }} {% endcomment %}]\
                {%- for l in cart.lines -%} {{ l.quantity }} {%- endfor -%}\
                {% case cart.id %}{% when \"c1\" %}one{% else %}other{% endcase %}";
    assert_eq!(rendered(text).unwrap(), "{{ not.ours }}[]12one");
}

#[test]
fn yaml_names_what_is_wrong() {
    let good = "kind: Template\nname: welcome\nsubject: Hi {{ profile.first_name }}\ntext: |\n  Hello\nvariables: [gift]\n";
    assert_eq!(Template::from_yaml(good).unwrap().variables, ["gift"]);
    let unknown =
        Template::from_yaml("kind: Template\nname: a\nsubjct: x\ntext: y\n").unwrap_err().to_string();
    assert!(unknown.contains("subjct"), "{unknown}");
}

#[test]
fn a_line_break_never_enters_the_subject() {
    let mut it = template("x");
    it.subject = "Hi {{ profile.x }}".to_owned();
    let mut data = data();
    data.insert("profile".to_owned(), json!({ "x": "a\r\nBcc: everybody@example.com" }));
    assert_eq!(it.compile().unwrap().render(&data).unwrap().subject, "Hi a Bcc: everybody@example.com");
}
