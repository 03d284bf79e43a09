/** What the fields of ledger commands must be. */
import {
  COMPENSATOR_PAYLOAD_LENGTH_MAX,
  COMPENSATOR_TARGET_LENGTH_MAX,
  COST_DIGITS_MAX,
  EFFECT_DESCRIPTION_LENGTH_MAX,
  EFFECT_KEY_LENGTH_MAX,
  RESOURCE_LENGTH_MAX,
} from '../../types/limits.ts';
import type { BodyOf } from '../context.ts';
import type { Rejection } from '../types.ts';
import { checkName, checkText, checkToken, firstOf, invalid } from '../validate.ts';
import type { Compensator } from './types.ts';

const HTTP_URL = /^https?:\/\/[^\s/?#]+/;
const HOST_PORT = /^[^\s/]+:\d{1,5}$/;
const DIGITS = /^(?:0|[1-9]\d*)$/;
const OPERATIONS: readonly string[] = ['', 'create', 'delete'];

export function checkKey(key: string): Rejection | null {
  return checkText('key', key, 1, EFFECT_KEY_LENGTH_MAX);
}

export function checkIntent(body: BodyOf<'recordIntent'>): Rejection | null {
  return firstOf(
    checkToken(body.token),
    checkKey(body.key),
    checkText('description', body.description, 0, EFFECT_DESCRIPTION_LENGTH_MAX),
    checkCompensator(body.compensator),
    checkMicros('costMicros', body.costMicros),
    checkMicros('limitMicros', body.limitMicros),
    checkText('resource', body.resource, 0, RESOURCE_LENGTH_MAX),
    OPERATIONS.includes(body.operation)
      ? null
      : invalid('operation', 'Send operation as create or delete, or leave it empty.'),
    (body.resource === '') === (body.operation === '')
      ? null
      : invalid('operation', 'Send resource and operation together, or neither of them.'),
  );
}

function checkCompensator({ kind, target, payload }: Compensator): Rejection | null {
  const bad = firstOf(
    checkText('compensator.target', target, 1, COMPENSATOR_TARGET_LENGTH_MAX),
    checkText('compensator.payload', payload, 0, COMPENSATOR_PAYLOAD_LENGTH_MAX),
  );
  if (bad !== null) return bad;
  switch (kind) {
    case 'http':
      return HTTP_URL.test(target) ? null : invalid('compensator.target', 'Send an http or https URL as the target.');
    case 'grpc':
      return HOST_PORT.test(target) ? null : invalid('compensator.target', 'Send host:port as the target.');
    case 'worker':
      return checkName('compensator.target', target);
    default:
      return invalid('compensator.kind', 'Send http, grpc or worker as the kind of the compensator.');
  }
}

function checkMicros(field: string, micros: string): Rejection | null {
  if (micros.length <= COST_DIGITS_MAX && DIGITS.test(micros)) return null;
  return invalid(field, `Send ${field} as millionths, at most ${COST_DIGITS_MAX} decimal digits.`);
}
