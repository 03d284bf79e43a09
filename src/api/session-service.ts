/** SessionService: what makes retries safe. */
import { SessionService } from '../gen/quorate/v1/session_pb.ts';
import type { RawDefinition, ServiceShape } from '../rpc/service.ts';
import { SESSION_TTL_DEFAULT_MS, SESSION_TTL_MAX_MS, SESSION_TTL_MIN_MS } from '../types/limits.ts';
import type { ApiContext } from './context.ts';
import { mutation } from './mutation.ts';
import type { RawUnaryHandler } from './unary.ts';

const { method } = SessionService;

type Handlers = { readonly [Name in keyof RawDefinition<ServiceShape<typeof SessionService>>]: RawUnaryHandler };

export function sessionHandlers(context: ApiContext): Handlers {
  return {
    openSession: mutation(context, method.openSession, {
      session: 'ignored',
      body: ({ ttlMs }, check) => ({
        kind: 'openSession',
        ttlMs:
          ttlMs === 0n ? SESSION_TTL_DEFAULT_MS : check.number('ttl_ms', ttlMs, SESSION_TTL_MIN_MS, SESSION_TTL_MAX_MS),
      }),
      kind: 'sessionOpened',
      answer: (header, { sessionId, ttlMs }) => ({
        $typeName: 'quorate.v1.OpenSessionResponse' as const,
        header,
        sessionId: BigInt(sessionId),
        ttlMs: BigInt(ttlMs),
      }),
    }),
    keepAlive: mutation(context, method.keepAlive, {
      session: 'required',
      body: () => ({ kind: 'keepAliveSession' }),
      kind: 'sessionKept',
      answer: (header) => ({ $typeName: 'quorate.v1.KeepAliveResponse' as const, header }),
    }),
    closeSession: mutation(context, method.closeSession, {
      session: 'required',
      body: () => ({ kind: 'closeSession' }),
      kind: 'sessionClosed',
      answer: (header) => ({ $typeName: 'quorate.v1.CloseSessionResponse' as const, header }),
    }),
  };
}
