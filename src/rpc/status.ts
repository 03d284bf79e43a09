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

export function statusError(init: StatusInit): StatusError {
  const { code, message, reason, metadata = {}, retryAfterMs, violations } = init;
  const details: Any[] = [
    anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason, domain: ERROR_DOMAIN, metadata: { ...metadata } })),
  ];
  if (retryAfterMs !== undefined) {
    const retryDelay = {
      seconds: BigInt(Math.floor(retryAfterMs / 1000)),
      nanos: Math.floor(retryAfterMs % 1000) * 1_000_000,
    };
    details.push(anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay })));
  }
  if (violations !== undefined && violations.length > 0) {
    const fieldViolations = violations.map(({ field, description }) => ({ field, description }));
    details.push(anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations })));
  }
  const trailer = new Metadata();
  const bytes = toBinary(StatusSchema, create(StatusSchema, { code, message, details }));
  trailer.set(DETAILS_TRAILER, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  return { code, details: message, metadata: trailer };
}

/** Reads any error of a grpc-js call, also one without details or of another kind altogether. Never throws. */
export function parseStatus(error: unknown): ParsedStatus {
  const { code, details, metadata, message } = (typeof error === 'object' && error !== null ? error : {}) as {
    readonly [Field in 'code' | 'details' | 'metadata' | 'message']?: unknown;
  };
  const bare: ParsedStatus = {
    code: typeof code === 'number' && code in Code ? code : Code.UNKNOWN,
    message: [details, message, error].find((text) => typeof text === 'string') ?? 'unknown error',
    reason: '',
    metadata: {},
    retryAfterMs: null,
    violations: [],
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
