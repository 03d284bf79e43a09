/** MembershipService: who is there, who comes and goes, who leads. */
import { type MemberChange as ChangeMessage, MembershipService } from '../gen/quorate/v1/membership_pb.ts';
import type { MemberChange } from '../machine/types.ts';
import type { MemberStatus } from '../node/types.ts';
import type { RawDefinition, ServiceShape } from '../rpc/service.ts';
import type { StatusError } from '../rpc/status.ts';
import { isAddress } from '../types/address.ts';
import { unreachable } from '../types/assert.ts';
import { DATA_STREAM, type MemberId } from '../types/ids.ts';
import { MEMBER_CHANGES_MAX } from '../types/limits.ts';
import { err, ok } from '../types/result.ts';
import { Check } from './check.ts';
import type { ApiContext } from './context.ts';
import { failure } from './errors.ts';
import { leaderOnly, prepareChanges } from './member-changes.ts';
import { isSettled, memberMessages } from './members.ts';
import { mutation } from './mutation.ts';
import { read } from './read.ts';
import { type RawUnaryHandler, unary } from './unary.ts';

const { method } = MembershipService;

type Handlers = { readonly [Name in keyof RawDefinition<ServiceShape<typeof MembershipService>>]: RawUnaryHandler };

export function membershipHandlers(context: ApiContext): Handlers {
  return {
    listMembers: read(context, method.listMembers, {
      params: () => null,
      answer: (view) => {
        const status = context.member.status(DATA_STREAM);
        return ok({
          $typeName: 'quorate.v1.ListMembersResponse' as const,
          members: memberMessages(context, status, view),
          joint: status.raft.configuration.votersOutgoing.length > 0,
          settled: isSettled(status, view),
          configurationIndex: BigInt(status.raft.configurationIndex),
        });
      },
    }),
    changeMembers: mutation(context, method.changeMembers, {
      session: 'optional',
      body: ({ changes }, check) => {
        check.count('changes', changes.length, 1, MEMBER_CHANGES_MAX);
        const checked = changes
          .slice(0, MEMBER_CHANGES_MAX)
          .map((change, i) => changeOf(change, `changes[${i}]`, check));
        checkOnce(checked, check);
        return { kind: 'changeMembers', changes: checked };
      },
      prepare: async (body, { force }, { deadlineMs }) => {
        if (body.kind !== 'changeMembers') return ok(body);
        const prepared = await prepareChanges(context, body.changes, force, deadlineMs);
        return prepared.ok ? ok({ ...body, changes: prepared.value }) : prepared;
      },
      kind: 'membersChanged',
      answer: (header) => ({ $typeName: 'quorate.v1.ChangeMembersResponse' as const, header }),
    }),
    transferLeadership: unary(context, method.transferLeadership, 'INDETERMINATE', async (request) => {
      const check = new Check();
      const to = request.to === '' ? null : check.memberId('to', request.to);
      const invalid = check.failure();
      if (invalid !== null) return err(invalid);
      const before = context.member.status(DATA_STREAM);
      const notLeader = leaderOnly(context, before);
      if (notLeader !== null) return err(notLeader);
      // Whoever leads already has been given what was asked for: also when this is the second try.
      if (to !== context.memberId) {
        const failed = await transfer(context, before, to);
        if (failed !== null) return err(failed);
      }
      const leaderId = context.member.status(DATA_STREAM).raft.leader ?? '';
      return ok({ $typeName: 'quorate.v1.TransferLeadershipResponse' as const, leaderId });
    }),
  };
}

async function transfer(context: ApiContext, { raft }: MemberStatus, to: MemberId | null): Promise<StatusError | null> {
  const { voters } = raft.configuration;
  if (to !== null && !voters.includes(to)) {
    const message = `${to} is no voter; one of ${voters.join(', ')} can lead`;
    return failure('MEMBER_NOT_VOTER', message, { metadata: { member: to } });
  }
  const outcome = await context.member.transferLeadership(DATA_STREAM, to);
  switch (outcome) {
    case 'done':
      return null;
    case 'refused': {
      const notLeader = leaderOnly(context, context.member.status(DATA_STREAM));
      const message = 'leadership stays: there is no other voter, or it is being handed over already';
      return notLeader ?? failure('TRANSFER_FAILED', message);
    }
    case 'timed_out': {
      const message = `leadership stays: ${to ?? 'the successor'} did not take over in time; check that it runs and keeps up, then try again`;
      return failure('TRANSFER_FAILED', message);
    }
    default:
      return unreachable(outcome, 'transfer outcome');
  }
}

function changeOf({ change }: ChangeMessage, field: string, check: Check): MemberChange {
  switch (change.case) {
    case 'add': {
      const { memberId, peerAddress, clientAddress, learner, replaces } = change.value;
      const member = check.memberId(`${field}.add.member_id`, memberId);
      if (replaces !== '' && replaces === memberId) {
        check.report(`${field}.add.replaces`, 'is the new member itself; a new member has an id of its own');
      }
      if (replaces !== '' && learner)
        check.report(`${field}.add.replaces`, 'is set for a learner; only a voter replaces');
      return {
        kind: 'add',
        member,
        peerAddress: addressOf(`${field}.add.peer_address`, peerAddress, check),
        clientAddress: addressOf(`${field}.add.client_address`, clientAddress, check),
        // Comes from the member itself.
        incarnation: '',
        role: learner ? 'learner' : 'voter',
        replaces: replaces === '' ? '' : check.memberId(`${field}.add.replaces`, replaces),
      };
    }
    case 'promote':
      return { kind: 'promote', member: check.memberId(`${field}.promote.member_id`, change.value.memberId) };
    case 'remove':
      return { kind: 'remove', member: check.memberId(`${field}.remove.member_id`, change.value.memberId) };
    case undefined:
      check.report(field, 'is empty; send add, promote or remove');
      return { kind: 'promote', member: '' as MemberId };
    default:
      return unreachable(change, 'member change');
  }
}

function addressOf(field: string, value: string, check: Check): string {
  if (!isAddress(value)) check.report(field, 'is no address; send host:port');
  return value;
}

/** Also a member that is replaced: it goes by that alone. */
function checkOnce(changes: readonly MemberChange[], check: Check): void {
  const named = new Set<string>();
  for (const change of changes) {
    const ids = change.kind === 'add' && change.replaces !== '' ? [change.member, change.replaces] : [change.member];
    for (const id of ids) {
      if (named.has(id)) check.report('changes', `name ${id} twice; send one change for each member`);
      named.add(id);
    }
  }
}
