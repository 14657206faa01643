import type { Format } from '../reader.js';
import { TaskTraceReader } from './task-trace.js';

/** `comm-pid … [cpu] … time:` anywhere in the first lines. */
const TASK_LINE = /^.{1,80}-\d{1,10}\s.{0,40}\[\d{1,4}\].{0,40}\d: \S+: ?/;

/** /sys/kernel/tracing/trace and trace_pipe. Source: kernel/trace/trace_output.c, formats.md 2.1. */
export const ftrace: Format = {
  name: 'ftrace',
  description: '/sys/kernel/tracing/trace or trace_pipe',
  sniff(head) {
    if (/^# tracer: /m.test(head.slice(0, 4096))) return 1;
    return taskLineShare(head) * 0.8;
  },
  open: (options) => new TaskTraceReader(options),
};

/** `trace-cmd report`, 2.x and 3.x, with -t, -R, -l. Source: formats.md 2.2. */
export const traceCmd: Format = {
  name: 'trace-cmd',
  description: 'output of trace-cmd report',
  sniff(head) {
    if (/^(version = \d+\s*\n)?([ \t]*\S{1,256}: )?cpus=\d+\s*$/m.test(head.slice(0, 4096)))
      return 1;
    return taskLineShare(head) * 0.7;
  },
  open: (options) => new TaskTraceReader(options, true),
};

/** Share of the first lines that look like `comm-pid [cpu] time: event:`. */
function taskLineShare(head: string): number {
  const lines = head.split('\n', 60).filter((l) => l.trim() !== '' && !l.startsWith('#'));
  if (lines.length === 0) return 0;
  return lines.filter((l) => TASK_LINE.test(l.slice(0, 300))).length / lines.length;
}
