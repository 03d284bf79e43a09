/**
 * Rich errors: `google.rpc.Status` with ErrorInfo, RetryInfo and BadRequest in the `grpc-status-details-bin` trailer,
 * as Google's API guide lays down (AIP-193). Both ends of the wire are here.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type Any, anyPack, anyUnpack } from '@bufbuild/protobuf/wkt';
import { status as Code, Metadata } from '@grpc/grpc-js';
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from '../gen/google/rpc/error_details_pb.ts';
import { type Status, StatusSchema } from '../gen/google/rpc/status_pb.ts';

/** ErrorInfo.domain of every error that Quorate itself raises. */
export const ERROR_DOMAIN = 'quorate';
const DETAILS_TRAILER = 'grpc-status-details-bin';
/**
 * Status and details travel in trailers, and gRPC clients of other languages accept 8 KiB of those by default; a
 * message goes twice, once of them percent-encoded. Lengths in UTF-16 code units.
 */
const LONE_SURROGATE = /\p{Surrogate}/gu;
const MESSAGE_LENGTH_MAX = 512;
const VALUE_LENGTH_MAX = 256;
const VIOLATIONS_MAX = 8;

/** One field that is wrong. `field` is the path in the request, e.g. `plan.phases[2].name`. */
export interface FieldViolation {
  readonly field: string;
  /** What is wrong, the bound, and what to send instead. */
  readonly description: string;
}

export interface StatusInit {
  readonly code: Code;
  /** One sentence for a person, saying what to do. */
  readonly message: string;
  /** UPPER_SNAKE_CASE, for programs to switch on. */
  readonly reason: string;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Present where waiting helps. */
  readonly retryAfterMs?: number | undefined;
  readonly violations?: readonly FieldViolation[] | undefined;
}

/** What a grpc-js handler passes to its callback, or emits as 'error' on a stream. A value, not an exception: no stack. */
export interface StatusError {
  readonly code: Code;
  readonly details: string;
  readonly metadata: Metadata;
}

export interface ParsedStatus {
  readonly code: Code;
  readonly message: string;
  /** '' when the error does not come from Quorate: a broken connection, a passed deadline, a proxy. */
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** null: no hint. */
  readonly retryAfterMs: number | null;
  readonly violations: readonly FieldViolation[];
}

const NO_DETAILS = { reason: '', metadata: {}, retryAfterMs: null, violations: [] } as const;

export function statusError(init: StatusInit): StatusError {
  const { code, reason, retryAfterMs, violations } = init;
  const message = cut(init.message, MESSAGE_LENGTH_MAX);
  const metadata = Object.fromEntries(
    Object.entries(init.metadata ?? {}).map(([key, value]) => [key, cut(value, VALUE_LENGTH_MAX)]),
  );
  const details: Any[] = [
    anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason, domain: ERROR_DOMAIN, metadata })),
  ];
  if (retryAfterMs !== undefined) {
    const retryDelay = {
      seconds: BigInt(Math.floor(retryAfterMs / 1000)),
      nanos: Math.floor(retryAfterMs % 1000) * 1_000_000,
    };
    details.push(anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay })));
  }
  if (violations !== undefined && violations.length > 0) {
    const fieldViolations = violations.slice(0, VIOLATIONS_MAX).map(({ field, description }) => ({
      field: cut(field, VALUE_LENGTH_MAX),
      description: cut(description, VALUE_LENGTH_MAX),
    }));
    details.push(anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations })));
  }
  const trailer = new Metadata();
  const bytes = toBinary(StatusSchema, create(StatusSchema, { code, message, details }));
  trailer.set(DETAILS_TRAILER, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  return { code, details: message, metadata: trailer };
}

/** Not longer than `lengthMax`, and without half characters: grpc-js throws on text that has no UTF-8 form. */
function cut(text: string, lengthMax: number): string {
  const short = text.length <= lengthMax ? text : `${text.slice(0, lengthMax - 1)}…`;
  return short.replace(LONE_SURROGATE, '\ufffd');
}

/** The message that an error carries as details, or one that is made of its code and text; for where it travels as a message. */
export function statusOf(error: Partial<StatusError>): Status {
  const [trailer] = error.metadata?.get(DETAILS_TRAILER) ?? [];
  if (trailer instanceof Uint8Array) return fromBinary(StatusSchema, trailer);
  return create(StatusSchema, { code: error.code ?? Code.UNKNOWN, message: error.details ?? 'unknown error' });
}

/** As {@link parseStatus}, of a status that came as a message. */
export function parseStatusMessage(status: Status): ParsedStatus {
  const { code, message } = status;
  const bare = { code: code in Code ? code : Code.UNKNOWN, message, ...NO_DETAILS };
  try {
    return withDetails(bare, status);
  } catch {
    return bare;
  }
}

/** Reads any error of a grpc-js call, also one without details or of another kind altogether. Never throws. */
export function parseStatus(error: unknown): ParsedStatus {
  const { code, details, metadata, message } = (typeof error === 'object' && error !== null ? error : {}) as {
    readonly [Field in 'code' | 'details' | 'metadata' | 'message']?: unknown;
  };
  const bare: ParsedStatus = {
    code: typeof code === 'number' && code in Code ? code : Code.UNKNOWN,
    message: [details, message, error].find((text) => typeof text === 'string') ?? 'unknown error',
    ...NO_DETAILS,
  };
  const [trailer] = metadata instanceof Metadata ? metadata.get(DETAILS_TRAILER) : [];
  if (!(trailer instanceof Uint8Array)) return bare;
  try {
    return withDetails(bare, fromBinary(StatusSchema, trailer));
  } catch {
    // Details are an addition: an error whose details do not decode is still the error it is.
    return bare;
  }
}

function withDetails(bare: ParsedStatus, status: Status): ParsedStatus {
  let { reason, metadata, retryAfterMs, violations } = bare;
  for (const detail of status.details) {
    const info = anyUnpack(detail, ErrorInfoSchema);
    if (info !== undefined && info.domain === ERROR_DOMAIN) ({ reason, metadata } = info);
    const delay = anyUnpack(detail, RetryInfoSchema)?.retryDelay;
    if (delay !== undefined) retryAfterMs = Number(delay.seconds) * 1000 + Math.floor(delay.nanos / 1_000_000);
    const bad = anyUnpack(detail, BadRequestSchema);
    if (bad !== undefined) violations = bad.fieldViolations.map(({ field, description }) => ({ field, description }));
  }
  return { ...bare, reason, metadata, retryAfterMs, violations };
}
