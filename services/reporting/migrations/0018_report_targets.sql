-- Scheduled reports go into buckets too.

ALTER TABLE ${database}.report_deliveries ${on_cluster}
    COMMENT COLUMN IF EXISTS target 'email:ADDRESS, folder:NAME or s3:PREFIX';
