/** MaintenanceService: backups and the feature level. */
import type { ServerWritableStream } from '@grpc/grpc-js';
import { MaintenanceService } from '../gen/quorate/v1/maintenance_pb.ts';
import type { RawDefinition, ServiceShape } from '../rpc/service.ts';
import type { StatusError } from '../rpc/status.ts';
import { DATA_STREAM } from '../types/ids.ts';
import { err, ok, type Result } from '../types/result.ts';
import { backupHandler } from './backup.ts';
import type { ApiContext } from './context.ts';
import { failure } from './errors.ts';
import { supportedLevel } from './members.ts';
import { mutation } from './mutation.ts';
import { read } from './read.ts';
import type { RawUnaryHandler } from './unary.ts';

const { method } = MaintenanceService;

type UnaryName = Exclude<keyof RawDefinition<ServiceShape<typeof MaintenanceService>>, 'backup'>;
type Handlers = { readonly [Name in UnaryName]: RawUnaryHandler } & {
  readonly backup: (call: ServerWritableStream<Buffer, Buffer>) => void;
};

export function maintenanceHandlers(context: ApiContext): Handlers {
  return {
    backup: backupHandler(context),
    getFeatureLevel: read(context, method.getFeatureLevel, {
      params: () => null,
      answer: (view) => {
        const { level, used, pinned } = view.featureLevel();
        const supported = supportedLevel(context.member.status(DATA_STREAM));
        const $typeName = 'quorate.v1.GetFeatureLevelResponse' as const;
        return ok({ $typeName, level, used, pinned, supported });
      },
    }),
    setFeatureLevel: mutation(context, method.setFeatureLevel, {
      session: 'optional',
      body: ({ level, pinned }, check) => {
        if (level < 1) check.report('level', `is ${level}; send a feature level from 1 on`);
        return { kind: 'setFeatureLevel', level, pinned };
      },
      prepare: async (body, { level }) => {
        const unsupported = checkSupported(context, level);
        return unsupported.ok ? ok(body) : unsupported;
      },
      kind: 'featureLevelSet',
      answer: (header, { level }) => ({ $typeName: 'quorate.v1.SetFeatureLevelResponse' as const, header, level }),
    }),
  };
}

/** A level that a member does not know would stop it: it cannot carry out what comes with the level. */
function checkSupported({ member }: ApiContext, level: number): Result<null, StatusError> {
  const status = member.status(DATA_STREAM);
  const supported = supportedLevel(status);
  if (level <= Math.max(supported, status.featureLevel)) return ok(null);
  const message =
    supported === 0
      ? 'not every member was heard of yet, so nobody knows what they support; see that all run, then try again'
      : `not every member supports feature level ${level}, only ${supported}; upgrade them first`;
  return err(failure('FEATURE_LEVEL_UNSUPPORTED', message, { metadata: { supported: String(supported) } }));
}
