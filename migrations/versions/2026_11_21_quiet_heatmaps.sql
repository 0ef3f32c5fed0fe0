CREATE FUNCTION assay_announce_promotion() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  INSERT INTO webhook_delivery (endpoint_id, event, payload)
  SELECT id, 'bundle.promoted', jsonb_build_object('promotion_id', NEW.id)
  FROM webhook_endpoint WHERE disabled_at IS NULL AND 'bundle.promoted' = ANY (events);
  RETURN NULL;
END $$;

CREATE FUNCTION assay_announce_scan() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  INSERT INTO webhook_delivery (endpoint_id, event, payload)
  SELECT id, 'scan.' || NEW.state, jsonb_build_object('scan_id', NEW.id, 'reason', NEW.reason)
  FROM webhook_endpoint WHERE disabled_at IS NULL AND 'scan.' || NEW.state = ANY (events);
  RETURN NULL;
END $$;

CREATE FUNCTION assay_announce_verdicts() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  INSERT INTO webhook_delivery (endpoint_id, event, payload)
  SELECT endpoint.id, 'verdict.created', jsonb_build_object('verdict_id', made.id)
  FROM webhook_endpoint AS endpoint CROSS JOIN made
  WHERE endpoint.disabled_at IS NULL AND 'verdict.created' = ANY (endpoint.events) AND NOT made.shadow
  UNION ALL
  SELECT endpoint.id, 'verdict.changed', jsonb_build_object('verdict_id', served.id, 'previous', former.verdict)
  FROM webhook_endpoint AS endpoint CROSS JOIN made
  CROSS JOIN LATERAL (
    SELECT id, verdict FROM verdict
    WHERE image_pk = made.image_pk AND NOT shadow AND id <= made.id
    ORDER BY CASE decided_by WHEN 'human' THEN 0 WHEN 'provenance' THEN 1 ELSE 2 END, id DESC LIMIT 1
  ) AS served
  CROSS JOIN LATERAL (
    SELECT verdict FROM verdict
    WHERE image_pk = made.image_pk AND NOT shadow AND id < made.id
    ORDER BY CASE decided_by WHEN 'human' THEN 0 WHEN 'provenance' THEN 1 ELSE 2 END, id DESC LIMIT 1
  ) AS former
  WHERE endpoint.disabled_at IS NULL AND 'verdict.changed' = ANY (endpoint.events) AND NOT made.shadow
    AND served.verdict <> former.verdict;
  RETURN NULL;
END $$;

CREATE FUNCTION assay_append_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND current_setting('assay.erasing', true) = 'on' THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
    USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION assay_inherit_labels() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.sha256 IS NOT DISTINCT FROM NEW.sha256 THEN
    RETURN NULL;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('assay.content.' || NEW.sha256));
  WITH opinion AS (
    SELECT DISTINCT ON (label.reviewer) label.id, label.label, label.reviewer, label.reason
    FROM label JOIN image ON image.id = label.image_pk
    WHERE image.sha256 = NEW.sha256 AND image.id <> NEW.id AND image.erased_at IS NULL
    ORDER BY label.reviewer, label.id DESC
  ), inherited AS (
    INSERT INTO label (image_pk, label, reviewer, reason, of_duplicate)
    SELECT NEW.id, label, reviewer, reason, true FROM opinion ORDER BY id
  )
  INSERT INTO verdict (image_pk, verdict, decided_by, detectors, provenance, reviewer, reason, source)
  SELECT NEW.id, label, 'human', '{}', '{}', reviewer, reason, NEW.source FROM opinion ORDER BY id DESC LIMIT 1;
  RETURN NULL;
END $$;

CREATE FUNCTION assay_verdict_source() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  NEW.source := (SELECT source FROM image WHERE id = NEW.image_pk);
  RETURN NEW;
END $$;

CREATE TABLE api_key (
    id bigint NOT NULL,
    name text NOT NULL,
    hash text NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    last_used_at timestamp with time zone
);

ALTER TABLE api_key ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME api_key_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE audit (
    id bigint NOT NULL,
    actor text NOT NULL,
    api_key_id bigint,
    action text NOT NULL,
    target text NOT NULL,
    detail jsonb NOT NULL,
    request_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE audit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE bundle (
    version text NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    location text NOT NULL,
    card jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    promoted_at timestamp with time zone,
    gate jsonb,
    shadow_share double precision,
    challenged_at timestamp with time zone,
    CONSTRAINT ck_bundle_role CHECK ((role = ANY (ARRAY['champion'::text, 'challenger'::text, 'registered'::text]))),
    CONSTRAINT ck_bundle_shadow_share CHECK (((role = 'challenger'::text) = (shadow_share IS NOT NULL))),
    CONSTRAINT ck_bundle_share CHECK (((shadow_share > (0)::double precision) AND (shadow_share <= (1)::double precision)))
);

CREATE TABLE console_session (
    token_hash text NOT NULL,
    api_key_id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

CREATE TABLE doomed_object (
    id bigint NOT NULL,
    bucket text NOT NULL,
    key text NOT NULL,
    prefix boolean NOT NULL,
    due_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE doomed_object ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME doomed_object_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE drift (
    id bigint NOT NULL,
    day date NOT NULL,
    source text NOT NULL,
    bundle_version text NOT NULL,
    measures jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE drift ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME drift_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE feature (
    image_pk bigint NOT NULL,
    bundle_version text NOT NULL,
    features bytea NOT NULL,
    logits jsonb NOT NULL,
    covariates double precision[] NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE ONLY feature ALTER COLUMN features SET STORAGE EXTERNAL;

CREATE TABLE heatmap (
    id bigint NOT NULL,
    verdict_id bigint NOT NULL,
    detector text NOT NULL,
    method text NOT NULL,
    layer text NOT NULL,
    bundle_version text NOT NULL,
    key text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    raw_key text
);

ALTER TABLE heatmap ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME heatmap_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE idempotency (
    api_key_id bigint NOT NULL,
    key text NOT NULL,
    fingerprint text NOT NULL,
    status integer,
    headers jsonb,
    body bytea,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE image (
    id bigint NOT NULL,
    image_id text NOT NULL,
    source text NOT NULL,
    bucket text NOT NULL,
    key text NOT NULL,
    version text NOT NULL,
    versioned boolean NOT NULL,
    sha256 text,
    size_bytes bigint,
    width integer,
    height integer,
    stored_at timestamp with time zone DEFAULT now() NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    erased_at timestamp with time zone,
    pdq bit(256),
    pdq_bands integer[]
);

ALTER TABLE image ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME image_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE label (
    id bigint NOT NULL,
    image_pk bigint NOT NULL,
    label text NOT NULL,
    reviewer text NOT NULL,
    reason text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    of_duplicate boolean DEFAULT false NOT NULL,
    CONSTRAINT ck_label_label CHECK ((label = ANY (ARRAY['ai_generated'::text, 'not_ai_generated'::text])))
);

ALTER TABLE label ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME label_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE policy (
    version bigint NOT NULL,
    prior_shift double precision NOT NULL,
    false_positive_budget double precision NOT NULL,
    miss_budget double precision NOT NULL,
    by_source jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_policy_fp CHECK (((false_positive_budget > (0)::double precision) AND (false_positive_budget < (1)::double precision))),
    CONSTRAINT ck_policy_miss CHECK (((miss_budget > (0)::double precision) AND (miss_budget < (1)::double precision)))
);

ALTER TABLE policy ALTER COLUMN version ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME policy_version_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE promotion (
    id bigint NOT NULL,
    bundle_version text NOT NULL,
    previous_version text,
    rollback boolean NOT NULL,
    reason text NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE promotion ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME promotion_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE rescan (
    id bigint NOT NULL,
    filter jsonb NOT NULL,
    bundle_version text NOT NULL,
    rate double precision NOT NULL,
    state text DEFAULT 'running'::text NOT NULL,
    after_image bigint DEFAULT '0'::bigint NOT NULL,
    examined bigint DEFAULT '0'::bigint NOT NULL,
    queued bigint DEFAULT '0'::bigint NOT NULL,
    reason text NOT NULL,
    requested_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    stepped_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT ck_rescan_rate CHECK ((rate > (0)::double precision)),
    CONSTRAINT ck_rescan_state CHECK ((state = ANY (ARRAY['running'::text, 'completed'::text, 'cancelled'::text])))
);

ALTER TABLE rescan ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME rescan_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE retention (
    version bigint NOT NULL,
    image_days integer,
    heatmap_days integer,
    delivery_days integer NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_retention_days CHECK (((image_days > 0) AND (heatmap_days > 0) AND (delivery_days > 0)))
);

ALTER TABLE retention ALTER COLUMN version ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME retention_version_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE scan (
    id bigint NOT NULL,
    image_pk bigint NOT NULL,
    kind text NOT NULL,
    queue text NOT NULL,
    state text DEFAULT 'queued'::text NOT NULL,
    due_at timestamp with time zone DEFAULT now(),
    bundle_version text,
    lease_token uuid,
    attempts integer DEFAULT 0 NOT NULL,
    lease_expiries integer DEFAULT 0 NOT NULL,
    reason text,
    detail text,
    timings jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT ck_scan_kind CHECK ((kind = ANY (ARRAY['live'::text, 'shadow'::text, 'rescan'::text, 'heatmap'::text]))),
    CONSTRAINT ck_scan_state CHECK ((state = ANY (ARRAY['queued'::text, 'dispatched'::text, 'leased'::text, 'completed'::text, 'rejected'::text, 'dead'::text])))
);

ALTER TABLE scan ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME scan_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE schedule (
    name text NOT NULL,
    due_at timestamp with time zone DEFAULT now() NOT NULL,
    last_started_at timestamp with time zone,
    last_finished_at timestamp with time zone,
    last_error text
);

CREATE TABLE training_event (
    id bigint NOT NULL,
    run_id bigint NOT NULL,
    kind text NOT NULL,
    data jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE training_event ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME training_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE training_run (
    id bigint NOT NULL,
    recipe text NOT NULL,
    parameters jsonb NOT NULL,
    state text DEFAULT 'queued'::text NOT NULL,
    progress jsonb,
    lease_token uuid,
    heartbeat_at timestamp with time zone,
    bundle_version text,
    detail text,
    requested_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    cancel_requested_at timestamp with time zone,
    lease_until timestamp with time zone,
    expiries integer DEFAULT 0 NOT NULL,
    report jsonb,
    artifacts text,
    started_at timestamp with time zone,
    CONSTRAINT ck_training_run_state CHECK ((state = ANY (ARRAY['queued'::text, 'running'::text, 'completed'::text, 'failed'::text, 'cancelled'::text])))
);

ALTER TABLE training_run ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME training_run_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE verdict (
    id bigint NOT NULL,
    image_pk bigint NOT NULL,
    scan_id bigint,
    verdict text NOT NULL,
    decided_by text NOT NULL,
    shadow boolean DEFAULT false NOT NULL,
    probability double precision,
    lower_threshold double precision,
    upper_threshold double precision,
    detectors jsonb NOT NULL,
    provenance jsonb NOT NULL,
    bundle_version text,
    policy_version bigint,
    reviewer text,
    reason text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    source text NOT NULL,
    percent smallint GENERATED ALWAYS AS ((LEAST(floor((probability * (100)::double precision)), (99)::double precision))::smallint) STORED,
    content text,
    duplicate_of bigint,
    CONSTRAINT ck_verdict_decided_by CHECK ((decided_by = ANY (ARRAY['machine'::text, 'human'::text, 'provenance'::text, 'duplicate'::text]))),
    CONSTRAINT ck_verdict_machine_named CHECK (((decided_by = 'human'::text) OR ((bundle_version IS NOT NULL) AND (policy_version IS NOT NULL)))),
    CONSTRAINT ck_verdict_probability CHECK (((probability >= (0)::double precision) AND (probability <= (1)::double precision))),
    CONSTRAINT ck_verdict_verdict CHECK ((verdict = ANY (ARRAY['ai_generated'::text, 'uncertain'::text, 'not_ai_generated'::text])))
);

ALTER TABLE verdict ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME verdict_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE webhook_delivery (
    id bigint NOT NULL,
    endpoint_id bigint NOT NULL,
    event text NOT NULL,
    payload jsonb NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    due_at timestamp with time zone DEFAULT now(),
    delivered_at timestamp with time zone,
    last_status integer,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    attempted_at timestamp with time zone,
    last_error text
);

ALTER TABLE webhook_delivery ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME webhook_delivery_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE webhook_endpoint (
    id bigint NOT NULL,
    url text NOT NULL,
    secret text NOT NULL,
    events text[] NOT NULL,
    disabled_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    previous_secret text,
    previous_secret_until timestamp with time zone,
    failing_since timestamp with time zone,
    disabled_reason text,
    failures integer DEFAULT 0 NOT NULL,
    retry_at timestamp with time zone
);

ALTER TABLE webhook_endpoint ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME webhook_endpoint_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY api_key
    ADD CONSTRAINT pk_api_key PRIMARY KEY (id);

ALTER TABLE ONLY audit
    ADD CONSTRAINT pk_audit PRIMARY KEY (id);

ALTER TABLE ONLY bundle
    ADD CONSTRAINT pk_bundle PRIMARY KEY (version);

ALTER TABLE ONLY console_session
    ADD CONSTRAINT pk_console_session PRIMARY KEY (token_hash);

ALTER TABLE ONLY doomed_object
    ADD CONSTRAINT pk_doomed_object PRIMARY KEY (id);

ALTER TABLE ONLY drift
    ADD CONSTRAINT pk_drift PRIMARY KEY (id);

ALTER TABLE ONLY feature
    ADD CONSTRAINT pk_feature PRIMARY KEY (image_pk, bundle_version);

ALTER TABLE ONLY heatmap
    ADD CONSTRAINT pk_heatmap PRIMARY KEY (id);

ALTER TABLE ONLY idempotency
    ADD CONSTRAINT pk_idempotency PRIMARY KEY (api_key_id, key);

ALTER TABLE ONLY image
    ADD CONSTRAINT pk_image PRIMARY KEY (id);

ALTER TABLE ONLY label
    ADD CONSTRAINT pk_label PRIMARY KEY (id);

ALTER TABLE ONLY policy
    ADD CONSTRAINT pk_policy PRIMARY KEY (version);

ALTER TABLE ONLY promotion
    ADD CONSTRAINT pk_promotion PRIMARY KEY (id);

ALTER TABLE ONLY rescan
    ADD CONSTRAINT pk_rescan PRIMARY KEY (id);

ALTER TABLE ONLY retention
    ADD CONSTRAINT pk_retention PRIMARY KEY (version);

ALTER TABLE ONLY scan
    ADD CONSTRAINT pk_scan PRIMARY KEY (id);

ALTER TABLE ONLY schedule
    ADD CONSTRAINT pk_schedule PRIMARY KEY (name);

ALTER TABLE ONLY training_event
    ADD CONSTRAINT pk_training_event PRIMARY KEY (id);

ALTER TABLE ONLY training_run
    ADD CONSTRAINT pk_training_run PRIMARY KEY (id);

ALTER TABLE ONLY verdict
    ADD CONSTRAINT pk_verdict PRIMARY KEY (id);

ALTER TABLE ONLY webhook_delivery
    ADD CONSTRAINT pk_webhook_delivery PRIMARY KEY (id);

ALTER TABLE ONLY webhook_endpoint
    ADD CONSTRAINT pk_webhook_endpoint PRIMARY KEY (id);

ALTER TABLE ONLY api_key
    ADD CONSTRAINT uq_api_key_hash UNIQUE (hash);

ALTER TABLE ONLY drift
    ADD CONSTRAINT uq_drift_day_source_bundle_version UNIQUE (day, source, bundle_version);

ALTER TABLE ONLY heatmap
    ADD CONSTRAINT uq_heatmap_verdict_id_detector UNIQUE (verdict_id, detector);

ALTER TABLE ONLY image
    ADD CONSTRAINT uq_image_bucket_key_version UNIQUE (bucket, key, version);

CREATE INDEX ix_audit_action_id ON audit USING btree (action, id);

CREATE INDEX ix_audit_target_id ON audit USING btree (target, id);

CREATE INDEX ix_console_session_expires_at ON console_session USING btree (expires_at);

CREATE INDEX ix_doomed_object_due_at ON doomed_object USING btree (due_at);

CREATE INDEX ix_feature_created_at ON feature USING btree (created_at);

CREATE INDEX ix_idempotency_created_at ON idempotency USING btree (created_at);

CREATE INDEX ix_image_audit ON image USING btree ((((('x'::text || "right"(sha256, 8)))::bit(32))::bigint), id) WHERE (erased_at IS NULL);

CREATE INDEX ix_image_image_id_stored_at_id ON image USING btree (image_id, stored_at, id);

CREATE INDEX ix_image_pdq_bands ON image USING gin (pdq_bands) WITH (fastupdate=off);

CREATE INDEX ix_image_sha256 ON image USING btree (sha256);

CREATE INDEX ix_label_image_pk_id ON label USING btree (image_pk, id);

CREATE INDEX ix_rescan_state ON rescan USING btree (state);

CREATE INDEX ix_scan_due ON scan USING btree (queue, due_at) WHERE (state = ANY (ARRAY['queued'::text, 'dispatched'::text, 'leased'::text]));

CREATE INDEX ix_scan_image_pk ON scan USING btree (image_pk);

CREATE INDEX ix_scan_state_id ON scan USING btree (state, id);

CREATE INDEX ix_schedule_due_at ON schedule USING btree (due_at);

CREATE INDEX ix_training_event_run_id_id ON training_event USING btree (run_id, id);

CREATE INDEX ix_training_run_state ON training_run USING btree (state);

CREATE INDEX ix_verdict_content ON verdict USING btree (content, bundle_version, policy_version, id) WHERE (content IS NOT NULL);

CREATE INDEX ix_verdict_created_at_id ON verdict USING btree (created_at, id);

CREATE INDEX ix_verdict_image_pk_id ON verdict USING btree (image_pk, id);

CREATE INDEX ix_verdict_scan_id ON verdict USING btree (scan_id);

CREATE INDEX ix_verdict_search ON verdict USING btree (verdict, created_at, id) WHERE (NOT shadow);

CREATE INDEX ix_verdict_search_percent ON verdict USING btree (verdict, percent, created_at, id) INCLUDE (probability) WHERE (NOT shadow);

CREATE INDEX ix_verdict_search_source ON verdict USING btree (source, verdict, created_at, id) WHERE (NOT shadow);

CREATE INDEX ix_verdict_search_source_percent ON verdict USING btree (source, verdict, percent, created_at, id) INCLUDE (probability) WHERE (NOT shadow);

CREATE INDEX ix_verdict_shadow ON verdict USING btree (bundle_version, id) WHERE shadow;

CREATE INDEX ix_webhook_delivery_endpoint_id_id ON webhook_delivery USING btree (endpoint_id, id);

CREATE INDEX ix_webhook_delivery_open ON webhook_delivery USING btree (endpoint_id, due_at) WHERE ((delivered_at IS NULL) AND (due_at IS NOT NULL));

CREATE UNIQUE INDEX uq_bundle_challenger ON bundle USING btree (role) WHERE (role = 'challenger'::text);

CREATE UNIQUE INDEX uq_bundle_champion ON bundle USING btree (role) WHERE (role = 'champion'::text);

CREATE UNIQUE INDEX uq_scan_heatmap ON scan USING btree (image_pk, bundle_version) WHERE ((kind = 'heatmap'::text) AND (state = ANY (ARRAY['queued'::text, 'dispatched'::text, 'leased'::text])));

CREATE UNIQUE INDEX uq_scan_live ON scan USING btree (image_pk) WHERE (kind = 'live'::text);

CREATE UNIQUE INDEX uq_verdict_machine ON verdict USING btree (image_pk, bundle_version, policy_version, shadow) WHERE (decided_by <> 'human'::text);

CREATE TRIGGER announce AFTER INSERT ON promotion FOR EACH ROW EXECUTE FUNCTION assay_announce_promotion();

CREATE TRIGGER announce AFTER UPDATE OF state ON scan FOR EACH ROW WHEN (((new.state = ANY (ARRAY['rejected'::text, 'dead'::text])) AND (old.state <> new.state) AND (new.kind <> ALL (ARRAY['shadow'::text, 'heatmap'::text])))) EXECUTE FUNCTION assay_announce_scan();

CREATE TRIGGER announce AFTER INSERT ON verdict REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION assay_announce_verdicts();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON audit FOR EACH ROW EXECUTE FUNCTION assay_append_only();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON policy FOR EACH ROW EXECUTE FUNCTION assay_append_only();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON promotion FOR EACH ROW EXECUTE FUNCTION assay_append_only();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON retention FOR EACH ROW EXECUTE FUNCTION assay_append_only();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON verdict FOR EACH ROW EXECUTE FUNCTION assay_append_only();

CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION assay_append_only();

CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON policy FOR EACH STATEMENT EXECUTE FUNCTION assay_append_only();

CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON promotion FOR EACH STATEMENT EXECUTE FUNCTION assay_append_only();

CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON retention FOR EACH STATEMENT EXECUTE FUNCTION assay_append_only();

CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON verdict FOR EACH STATEMENT EXECUTE FUNCTION assay_append_only();

CREATE TRIGGER fill_source BEFORE INSERT ON verdict FOR EACH ROW WHEN ((new.source IS NULL)) EXECUTE FUNCTION assay_verdict_source();

CREATE TRIGGER inherit_labels AFTER INSERT OR UPDATE OF sha256 ON image FOR EACH ROW WHEN ((new.sha256 IS NOT NULL)) EXECUTE FUNCTION assay_inherit_labels();

ALTER TABLE ONLY audit
    ADD CONSTRAINT fk_audit_api_key_id FOREIGN KEY (api_key_id) REFERENCES api_key(id);

ALTER TABLE ONLY console_session
    ADD CONSTRAINT fk_console_session_api_key_id FOREIGN KEY (api_key_id) REFERENCES api_key(id);

ALTER TABLE ONLY drift
    ADD CONSTRAINT fk_drift_bundle_version FOREIGN KEY (bundle_version) REFERENCES bundle(version);

ALTER TABLE ONLY feature
    ADD CONSTRAINT fk_feature_bundle_version FOREIGN KEY (bundle_version) REFERENCES bundle(version);

ALTER TABLE ONLY feature
    ADD CONSTRAINT fk_feature_image_pk FOREIGN KEY (image_pk) REFERENCES image(id);

ALTER TABLE ONLY heatmap
    ADD CONSTRAINT fk_heatmap_bundle_version FOREIGN KEY (bundle_version) REFERENCES bundle(version);

ALTER TABLE ONLY heatmap
    ADD CONSTRAINT fk_heatmap_verdict_id FOREIGN KEY (verdict_id) REFERENCES verdict(id);

ALTER TABLE ONLY idempotency
    ADD CONSTRAINT fk_idempotency_api_key_id FOREIGN KEY (api_key_id) REFERENCES api_key(id);

ALTER TABLE ONLY label
    ADD CONSTRAINT fk_label_image_pk FOREIGN KEY (image_pk) REFERENCES image(id);

ALTER TABLE ONLY promotion
    ADD CONSTRAINT fk_promotion_bundle_version FOREIGN KEY (bundle_version) REFERENCES bundle(version);

ALTER TABLE ONLY promotion
    ADD CONSTRAINT fk_promotion_previous_version FOREIGN KEY (previous_version) REFERENCES bundle(version);

ALTER TABLE ONLY rescan
    ADD CONSTRAINT fk_rescan_bundle_version FOREIGN KEY (bundle_version) REFERENCES bundle(version);

ALTER TABLE ONLY scan
    ADD CONSTRAINT fk_scan_bundle_version FOREIGN KEY (bundle_version) REFERENCES bundle(version);

ALTER TABLE ONLY scan
    ADD CONSTRAINT fk_scan_image_pk FOREIGN KEY (image_pk) REFERENCES image(id);

ALTER TABLE ONLY training_event
    ADD CONSTRAINT fk_training_event_run_id FOREIGN KEY (run_id) REFERENCES training_run(id);

ALTER TABLE ONLY training_run
    ADD CONSTRAINT fk_training_run_bundle_version FOREIGN KEY (bundle_version) REFERENCES bundle(version);

ALTER TABLE ONLY verdict
    ADD CONSTRAINT fk_verdict_bundle_version FOREIGN KEY (bundle_version) REFERENCES bundle(version);

ALTER TABLE ONLY verdict
    ADD CONSTRAINT fk_verdict_duplicate_of FOREIGN KEY (duplicate_of) REFERENCES verdict(id);

ALTER TABLE ONLY verdict
    ADD CONSTRAINT fk_verdict_image_pk FOREIGN KEY (image_pk) REFERENCES image(id);

ALTER TABLE ONLY verdict
    ADD CONSTRAINT fk_verdict_policy_version FOREIGN KEY (policy_version) REFERENCES policy(version);

ALTER TABLE ONLY verdict
    ADD CONSTRAINT fk_verdict_scan_id FOREIGN KEY (scan_id) REFERENCES scan(id);

ALTER TABLE ONLY webhook_delivery
    ADD CONSTRAINT fk_webhook_delivery_endpoint_id FOREIGN KEY (endpoint_id) REFERENCES webhook_endpoint(id);

INSERT INTO policy (prior_shift, false_positive_budget, miss_budget, by_source, created_by)
VALUES (0, 0.01, 0.05, '{}', 'assay');

INSERT INTO retention (image_days, heatmap_days, delivery_days, created_by)
VALUES (NULL, NULL, 30, 'assay');
