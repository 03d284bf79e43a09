/** The settings as a flat table, derived from the schema: one row for each leaf. */
import { z } from 'zod';
import { serverConfigSchema } from './config-schema.ts';

export interface Setting {
  /** Key in the file, dotted: `raft.tickMs`. */
  readonly path: string;
  readonly keys: readonly string[];
  /** `--raft-tick-ms`; `--raft.tick-ms` is accepted too. */
  readonly flag: string;
  readonly dottedFlag: string;
  /** `QUORATE_RAFT_TICK_MS`. */
  readonly env: string;
  /** How text from a flag or the environment becomes a value. */
  readonly kind: 'text' | 'number' | 'boolean' | 'list';
  readonly help: string;
  /** undefined: none, the setting is required or derived from others. */
  readonly defaultValue: unknown;
}

function kebab(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

interface Leaf {
  readonly type: z.core.$ZodType;
  readonly defaultValue: unknown;
}

function unwrap(schema: z.core.$ZodType, defaultValue: unknown = undefined): Leaf {
  if (schema instanceof z.ZodDefault) return unwrap(schema.def.innerType, schema.def.defaultValue);
  if (schema instanceof z.ZodPrefault) return unwrap(schema.def.innerType, defaultValue);
  if (schema instanceof z.ZodOptional) return unwrap(schema.def.innerType, defaultValue);
  return { type: schema, defaultValue };
}

function kindOf(type: z.core.$ZodType): Setting['kind'] {
  if (type instanceof z.ZodNumber) return 'number';
  if (type instanceof z.ZodBoolean) return 'boolean';
  return type instanceof z.ZodArray ? 'list' : 'text';
}

function collect(object: z.ZodObject, parents: readonly string[]): Setting[] {
  const settings: Setting[] = [];
  for (const [key, schema] of Object.entries(object.shape)) {
    const keys = [...parents, key];
    const { type, defaultValue } = unwrap(schema);
    if (type instanceof z.ZodObject) {
      settings.push(...collect(type, keys));
      continue;
    }
    const parts = keys.map(kebab);
    settings.push({
      path: keys.join('.'),
      keys,
      flag: `--${parts.join('-')}`,
      dottedFlag: `--${parts.join('.')}`,
      env: `QUORATE_${parts.join('-').toUpperCase().replaceAll('-', '_')}`,
      kind: kindOf(type),
      help: z.globalRegistry.get(schema)?.description ?? '',
      defaultValue,
    });
  }
  return settings;
}

/** In the order of the schema. */
export const SETTINGS: readonly Setting[] = collect(serverConfigSchema, []);
