import type { Problem } from "../params/fields";
import { count, number } from "./plural";

const FORMATS: Record<string, string> = {
  date: "a date such as 2026-11-21",
  "date-time": "a date and time with its zone, such as 2026-11-21T14:00:00+08:00",
  time: "a time such as 14:30",
  email: "an e-mail address",
  "idn-email": "an e-mail address",
  uri: "an address such as https://example.com/path",
  url: "an address such as https://example.com/path",
  uuid: "a UUID",
};

const ZH_FORMATS: Record<string, string> = {
  date: "日期，例如 2026-11-21",
  "date-time": "带时区的日期时间，例如 2026-11-21T14:00:00+08:00",
  time: "时间，例如 14:30",
  email: "电子邮件地址",
  "idn-email": "电子邮件地址",
  uri: "网址，例如 https://example.com/path",
  url: "网址，例如 https://example.com/path",
  uuid: "UUID",
};

function problem(field: string, of: Problem): string {
  switch (of.code) {
    case "required":
      return `${field} is needed.`;
    case "number":
      return `${field} must be a number.`;
    case "integer":
      return `${field} must be a whole number.`;
    case "min":
      return `${field} must be at least ${of.limit}.`;
    case "max":
      return `${field} must be at most ${of.limit}.`;
    case "above":
      return `${field} must be more than ${of.limit}.`;
    case "below":
      return `${field} must be less than ${of.limit}.`;
    case "multiple":
      return `${field} must be a multiple of ${of.limit}.`;
    case "minLength":
      return `${field} must have at least ${count(of.limit, "character", "characters")}; it has ${number(of.length)}.`;
    case "maxLength":
      return `${field} must have at most ${count(of.limit, "character", "characters")}; it has ${number(of.length)}.`;
    case "minItems":
      return `${field} must have at least ${count(of.limit, "value", "values")}; it has ${number(of.length)}.`;
    case "maxItems":
      return `${field} must have at most ${count(of.limit, "value", "values")}; it has ${number(of.length)}.`;
    case "pattern":
      return `${field} must match ${of.pattern}.`;
    case "format":
      return `${field} must be ${FORMATS[of.format] ?? of.format}.`;
    case "notListed":
      return `${field} must be one of ${of.values.join(", ")}.`;
    case "duplicates":
      return `${field} has ${of.value} twice.`;
    case "json":
      return `${field} is not JSON: ${of.message}`;
    case "type":
      return `${field} must be of type ${of.wanted}.`;
    case "missingKey":
      return `${field} needs the key “${of.key}”.`;
  }
}

function zhProblem(field: string, of: Problem): string {
  switch (of.code) {
    case "required":
      return `请填写“${field}”。`;
    case "number":
      return `“${field}”必须是数字。`;
    case "integer":
      return `“${field}”必须是整数。`;
    case "min":
      return `“${field}”不能小于 ${of.limit}。`;
    case "max":
      return `“${field}”不能大于 ${of.limit}。`;
    case "above":
      return `“${field}”必须大于 ${of.limit}。`;
    case "below":
      return `“${field}”必须小于 ${of.limit}。`;
    case "multiple":
      return `“${field}”必须是 ${of.limit} 的倍数。`;
    case "minLength":
      return `“${field}”至少 ${number(of.limit)} 个字符；现在有 ${number(of.length)} 个。`;
    case "maxLength":
      return `“${field}”最多 ${number(of.limit)} 个字符；现在有 ${number(of.length)} 个。`;
    case "minItems":
      return `“${field}”至少 ${number(of.limit)} 个值；现在有 ${number(of.length)} 个。`;
    case "maxItems":
      return `“${field}”最多 ${number(of.limit)} 个值；现在有 ${number(of.length)} 个。`;
    case "pattern":
      return `“${field}”必须匹配 ${of.pattern}。`;
    case "format":
      return `“${field}”必须是${ZH_FORMATS[of.format] ?? of.format}。`;
    case "notListed":
      return `“${field}”必须是其中之一：${of.values.join("、")}。`;
    case "duplicates":
      return `“${field}”中 ${of.value} 重复。`;
    case "json":
      return `“${field}”不是有效的 JSON：${of.message}`;
    case "type":
      return `“${field}”的类型必须是 ${of.wanted}。`;
    case "missingKey":
      return `“${field}”缺少键“${of.key}”。`;
  }
}

export const en = {
  title: (dag: string) => `Trigger ${dag}`,
  submit: "Trigger",
  form: "Form",
  json: "JSON",
  command: "Command",
  views: "How to enter the conf",
  noParams: "This DAG has no params. A conf can be given as JSON.",
  conf: "Conf",
  confHint: "Overrides the DAG’s params, and may have keys of its own.",
  confObject: "The conf must be an object: { … }.",
  extra: (keys: string) => `Also sent, though no param: ${keys}`,
  like: "Use the conf of a run",
  likeIs: (run: string) => `Filled with the conf of ${run}.`,
  more: "Logical date, run id, note",
  logicalDate: "Logical date",
  logicalDateHint: (zone: string) => `In ${zone}; without one the run has none.`,
  runId: "Run id",
  runIdHint: "Made up when left empty.",
  note: "Note",
  unpause: "Make the DAG active too",
  paused: "The DAG is paused: the run waits until it is made active.",
  commandHint: "The same request for a shell; the token is yours to make.",
  copyCommand: "Copy the command",
  started: (dag: string) => `Triggered ${dag}.`,
  open: "Open the run",
  linesHint: "One value per line",
  keys: "Ctrl+Enter triggers from anywhere in the form.",
  nothing: "nothing",
  inZone: (zone: string) => `in ${zone}`,
  problem,
};

export const zh: typeof en = {
  title: (dag) => `触发 ${dag}`,
  submit: "触发",
  form: "表单",
  json: "JSON 格式",
  command: "命令",
  views: "如何填写配置",
  noParams: "此 DAG 没有参数。可以用 JSON 填写配置。",
  conf: "运行配置",
  confHint: "覆盖 DAG 的参数，也可以有自己的键。",
  confObject: "配置必须是对象：{ … }。",
  extra: (keys) => `一并发送的非参数键：${keys}`,
  like: "使用某次运行的配置",
  likeIs: (run) => `已填入 ${run} 的配置。`,
  more: "逻辑日期、运行 ID、备注",
  logicalDate: "逻辑日期",
  logicalDateHint: (zone) => `时区 ${zone}；不填则该运行没有逻辑日期。`,
  runId: "运行 ID",
  runIdHint: "留空则自动生成。",
  note: "备注",
  unpause: "同时启用此 DAG",
  paused: "该 DAG 已暂停：启用后才会运行。",
  commandHint: "同一请求的命令行形式；令牌需自行创建。",
  copyCommand: "复制命令",
  started: (dag) => `已触发 ${dag}。`,
  open: "打开该运行",
  linesHint: "每行一个值",
  keys: "在表单任意位置按 Ctrl+Enter 即可触发。",
  nothing: "空",
  inZone: (zone) => `时区 ${zone}`,
  problem: zhProblem,
};
