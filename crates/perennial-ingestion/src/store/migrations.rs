//! The schema, step by step. Only ever added to.

use perennial_store::Migration;

/// Ingestion's own tables; the feed's come besides.
pub const MIGRATIONS: [Migration; 9] =
    [FIRST, CATALOGUE, API_KEYS, QUALITY, CONSENT, ERASURES, UNMERGES, TAKEN, HASHES];

const FIRST: Migration = Migration {
    name: "ingestion_0001",
    sql: "
CREATE TABLE identifier (
    workspace TEXT NOT NULL,
    identifier TEXT NOT NULL,
    profile {uuid} NOT NULL,
    PRIMARY KEY (workspace, identifier)
);
CREATE TABLE profile (
    workspace TEXT NOT NULL,
    id {uuid} NOT NULL,
    created BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    merged_into {uuid},
    merges BIGINT NOT NULL,
    draw_key TEXT NOT NULL,
    identifiers TEXT NOT NULL,
    person TEXT NOT NULL,
    PRIMARY KEY (workspace, id)
);
CREATE INDEX profile_merged ON profile (workspace, merged_into) WHERE merged_into IS NOT NULL;
CREATE TABLE merge (
    workspace TEXT NOT NULL,
    id {uuid} NOT NULL,
    from_profile {uuid} NOT NULL,
    into_profile {uuid} NOT NULL,
    into_partition BIGINT NOT NULL,
    event {uuid} NOT NULL,
    merged_at BIGINT NOT NULL,
    historical BOOLEAN NOT NULL,
    pending BOOLEAN NOT NULL,
    into_seq BIGINT NOT NULL,
    PRIMARY KEY (workspace, id)
);
CREATE INDEX merge_pending ON merge (into_partition) WHERE pending;
CREATE INDEX merge_into ON merge (workspace, into_profile);
CREATE TABLE seen_turn (current BIGINT NOT NULL, since BIGINT NOT NULL);
CREATE TABLE seen_a (workspace TEXT NOT NULL, hash {uuid} NOT NULL, PRIMARY KEY (workspace, hash));
CREATE TABLE seen_b (workspace TEXT NOT NULL, hash {uuid} NOT NULL, PRIMARY KEY (workspace, hash));
CREATE TABLE event (
    workspace TEXT NOT NULL,
    id {uuid} NOT NULL,
    profile {uuid} NOT NULL,
    at BIGINT NOT NULL,
    received BIGINT NOT NULL,
    partition BIGINT NOT NULL,
    first_seq BIGINT NOT NULL,
    records BIGINT NOT NULL,
    call TEXT NOT NULL,
    name TEXT NOT NULL,
    message_id TEXT NOT NULL,
    historical BOOLEAN NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (workspace, id)
);
CREATE INDEX event_profile ON event (workspace, profile, at);
CREATE TABLE rejected (
    workspace TEXT NOT NULL,
    id {uuid} NOT NULL,
    received BIGINT NOT NULL,
    message_id TEXT NOT NULL,
    name TEXT NOT NULL,
    field TEXT NOT NULL,
    reason TEXT NOT NULL,
    remedy TEXT NOT NULL,
    taken BOOLEAN NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (workspace, id)
);
CREATE INDEX rejected_received ON rejected (workspace, received);
CREATE TABLE counter (
    workspace TEXT NOT NULL,
    name TEXT NOT NULL,
    lane BIGINT NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (workspace, name, lane)
);
CREATE TABLE workspace_setting (
    workspace TEXT PRIMARY KEY,
    currency TEXT,
    default_margin_per_mille BIGINT,
    time_zone TEXT
);
CREATE TABLE exchange_rate (
    workspace TEXT NOT NULL,
    currency TEXT NOT NULL,
    start_date TEXT NOT NULL,
    rate {double} NOT NULL,
    PRIMARY KEY (workspace, currency, start_date)
);
CREATE TABLE write_key (
    workspace TEXT NOT NULL,
    id {uuid} NOT NULL,
    hash {blob} NOT NULL,
    prefix TEXT NOT NULL,
    display_name TEXT NOT NULL,
    created BIGINT NOT NULL,
    last_used BIGINT,
    revoked BIGINT,
    PRIMARY KEY (workspace, id)
);
CREATE UNIQUE INDEX write_key_hash ON write_key (hash);
",
};

const CATALOGUE: Migration = Migration {
    name: "ingestion_0002_catalogue",
    sql: "
CREATE TABLE catalogue (
    workspace TEXT PRIMARY KEY,
    created BIGINT NOT NULL,
    version BIGINT NOT NULL,
    products BIGINT NOT NULL,
    costed BOOLEAN NOT NULL,
    position BIGINT NOT NULL
);
CREATE TABLE product (
    workspace TEXT NOT NULL,
    id TEXT NOT NULL,
    sku TEXT NOT NULL,
    group_id TEXT NOT NULL,
    variant TEXT NOT NULL,
    title TEXT NOT NULL,
    brand TEXT NOT NULL,
    category TEXT NOT NULL,
    url TEXT NOT NULL,
    image_url TEXT NOT NULL,
    currency TEXT,
    price BIGINT,
    list_price BIGINT,
    cost_currency TEXT,
    cost BIGINT,
    availability TEXT NOT NULL,
    units BIGINT,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    held_currency TEXT,
    held_price BIGINT,
    price_due BIGINT,
    held_in_stock BOOLEAN,
    stock_due BIGINT,
    due BIGINT,
    PRIMARY KEY (workspace, id)
);
CREATE INDEX product_sku ON product (workspace, sku) WHERE sku <> '';
CREATE INDEX product_group ON product (workspace, group_id, id) WHERE group_id <> '';
CREATE INDEX product_category ON product (workspace, category) WHERE category <> '';
CREATE INDEX product_due ON product (due, workspace) WHERE due IS NOT NULL;
CREATE INDEX product_waiting ON product (workspace, due, id) WHERE due IS NOT NULL;
CREATE TABLE product_price (
    workspace TEXT NOT NULL,
    product TEXT NOT NULL,
    since BIGINT NOT NULL,
    currency TEXT,
    price BIGINT,
    list_price BIGINT,
    cost_currency TEXT,
    cost BIGINT,
    PRIMARY KEY (workspace, product, since)
);
CREATE TABLE catalog_change (
    workspace TEXT NOT NULL,
    position BIGINT NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    product TEXT NOT NULL,
    currency TEXT,
    price BIGINT,
    old_price BIGINT,
    PRIMARY KEY (workspace, position)
);
",
};

const API_KEYS: Migration = Migration {
    name: "ingestion_0003_api_keys",
    sql: "
CREATE TABLE api_key (
    workspace TEXT NOT NULL,
    id {uuid} NOT NULL,
    hash {blob} NOT NULL,
    prefix TEXT NOT NULL,
    display_name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created BIGINT NOT NULL,
    last_used BIGINT,
    revoked BIGINT,
    PRIMARY KEY (workspace, id)
);
CREATE UNIQUE INDEX api_key_hash ON api_key (hash);
",
};

const ERASURES: Migration = Migration {
    name: "ingestion_0006_erasures",
    sql: "
CREATE TABLE erasure (
    workspace TEXT NOT NULL,
    id {uuid} NOT NULL,
    profile {uuid} NOT NULL,
    created BIGINT NOT NULL,
    done BIGINT,
    addresses TEXT NOT NULL,
    PRIMARY KEY (workspace, id)
);
CREATE INDEX erasure_newest ON erasure (workspace, created, id);
CREATE INDEX erasure_running ON erasure (created) WHERE done IS NULL;
CREATE TABLE erasure_profile (
    workspace TEXT NOT NULL,
    erasure {uuid} NOT NULL,
    profile {uuid} NOT NULL,
    pending BOOLEAN NOT NULL,
    PRIMARY KEY (workspace, erasure, profile)
);
CREATE INDEX erasure_of_profile ON erasure_profile (workspace, profile);
CREATE TABLE erasure_receipt (
    workspace TEXT NOT NULL,
    erasure {uuid} NOT NULL,
    service TEXT NOT NULL,
    profile {uuid} NOT NULL,
    stores TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (workspace, erasure, service, profile)
);
",
};

/// Merges that were undone, and which survivor's partition has not heard of it yet.
const UNMERGES: Migration = Migration {
    name: "ingestion_0007_unmerges",
    sql: "
ALTER TABLE profile ADD COLUMN apart TEXT NOT NULL DEFAULT '{}';
ALTER TABLE merge ADD COLUMN undone BIGINT;
CREATE TABLE unmerge (
    workspace TEXT NOT NULL,
    merge {uuid} NOT NULL,
    profile {uuid} NOT NULL,
    survivor {uuid} NOT NULL,
    at BIGINT NOT NULL,
    pending BOOLEAN NOT NULL,
    own_events BIGINT NOT NULL,
    own_orders BIGINT NOT NULL,
    other_events BIGINT NOT NULL,
    other_orders BIGINT NOT NULL,
    PRIMARY KEY (workspace, merge)
);
CREATE INDEX unmerge_pending ON unmerge (at) WHERE pending;
CREATE INDEX unmerge_profile ON unmerge (workspace, profile);
CREATE INDEX unmerge_survivor ON unmerge (workspace, survivor);
",
};

/// In which order events were taken in. Of older events their receipt tells it.
const TAKEN: Migration = Migration {
    name: "ingestion_0008_taken",
    sql: "
ALTER TABLE event ADD COLUMN taken BIGINT NOT NULL DEFAULT 0;
",
};

/// Hashes of what came, as numbers: of those that were there the first 64 bits.
const HASHES: Migration = Migration {
    name: "ingestion_0009_hashes",
    sql: "
ALTER TABLE seen_a RENAME TO former_a;
ALTER TABLE seen_b RENAME TO former_b;
CREATE TABLE seen_a (hash {integer} PRIMARY KEY);
CREATE TABLE seen_b (hash {integer} PRIMARY KEY);
INSERT INTO seen_a SELECT {first_64_bits:hash} FROM former_a WHERE true ON CONFLICT (hash) DO NOTHING;
INSERT INTO seen_b SELECT {first_64_bits:hash} FROM former_b WHERE true ON CONFLICT (hash) DO NOTHING;
DROP TABLE former_a;
DROP TABLE former_b;
",
};

/// What was refused before cannot be sent in again as it came: it was not kept whole.
const QUALITY: Migration = Migration {
    name: "ingestion_0004_quality",
    sql: "
ALTER TABLE rejected ADD COLUMN cause TEXT NOT NULL DEFAULT '';
ALTER TABLE rejected ADD COLUMN historical BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE rejected ADD COLUMN trusted BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE rejected ADD COLUMN whole BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE rejected ADD COLUMN fixed TEXT;
ALTER TABLE rejected ADD COLUMN replayed BIGINT;
CREATE INDEX rejected_open ON rejected (workspace, cause, received, id) WHERE replayed IS NULL AND NOT taken;
CREATE TABLE tracking_plan (
    workspace TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    version BIGINT NOT NULL,
    updated BIGINT NOT NULL
);
CREATE TABLE plan_violation (
    workspace TEXT NOT NULL,
    cause TEXT NOT NULL,
    event TEXT NOT NULL,
    field TEXT NOT NULL,
    reason TEXT NOT NULL,
    count BIGINT NOT NULL,
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    PRIMARY KEY (workspace, cause)
);
",
};

const CONSENT: Migration = Migration {
    name: "ingestion_0005_consent",
    sql: "
ALTER TABLE workspace_setting ADD COLUMN locale TEXT;
ALTER TABLE workspace_setting ADD COLUMN consent_rules TEXT;
",
};
