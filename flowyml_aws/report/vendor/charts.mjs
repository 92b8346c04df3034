// Parts of the libraries that templates/report.js uses. scripts/vendor-charts makes charts.js of it.
import { CustomChart, GraphChart, LineChart } from "echarts/charts";
import {
  AriaComponent, DataZoomComponent, GridComponent, LegendComponent, TooltipComponent,
} from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import { Graph, layout } from "@dagrejs/dagre";

use([
  AriaComponent, CustomChart, DataZoomComponent, GraphChart, GridComponent, LegendComponent, LineChart,
  SVGRenderer, TooltipComponent,
]);
export { Graph, init, layout };
