/** Connection types that people make, and which of the fields each has. Another type has all of them. */
export const FIELDS = ["host", "port", "login", "password", "schema"] as const;
export type Field = (typeof FIELDS)[number];

interface Type {
  fields: readonly Field[];
  /** The port when none is given. */
  port?: number;
  /** An extra to begin with. */
  extra?: string;
}

export const TYPES: Record<string, Type> = {
  aws: { fields: ["login", "password"], extra: '{"region_name": "eu-central-1"}' },
  docker: { fields: ["host", "port", "login", "password"] },
  ftp: { fields: ["host", "port", "login", "password"], port: 21 },
  generic: { fields: FIELDS },
  google_cloud_platform: { fields: [], extra: '{"project": ""}' },
  http: { fields: FIELDS, extra: '{"headers": {}}' },
  kafka: { fields: [], extra: '{"bootstrap.servers": ""}' },
  mysql: { fields: FIELDS, port: 3306 },
  postgres: { fields: FIELDS, port: 5432 },
  redis: { fields: ["host", "port", "login", "password"], port: 6379 },
  sftp: { fields: ["host", "port", "login", "password"], port: 22 },
  slack: { fields: ["password"] },
  smtp: { fields: ["host", "port", "login", "password"], port: 25 },
  snowflake: { fields: ["login", "password", "schema"], extra: '{"account": "", "warehouse": ""}' },
  sqlite: { fields: ["host"] },
  ssh: { fields: ["host", "port", "login", "password"], port: 22 },
};

export const typeNames = Object.keys(TYPES);
export const fieldsOf = (type: string): readonly Field[] =>
  Object.hasOwn(TYPES, type) ? (TYPES[type]?.fields ?? FIELDS) : FIELDS;
