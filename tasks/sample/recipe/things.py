"""Everyday things that no emoji is: what icon sets call them, and their Chinese words."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Thing:
    """One thing.

    :ivar icons: names of icons that show it
    :ivar words: its Chinese name, then words for it
    """

    icons: tuple[str, ...]
    words: tuple[str, ...]


_TABLE = """
sofa couch armchair | 沙发 单人沙发 长沙发
fridge refrigerator | 冰箱 电冰箱
washing-machine | 洗衣机
microwave microwave-oven | 微波炉
toaster | 烤面包机 吐司机
blender | 搅拌机 榨汁机
kettle | 水壶 烧水壶
vacuum-cleaner vacuum | 吸尘器
iron | 熨斗 电熨斗
fan ceiling-fan | 电风扇 风扇
air-conditioner air-conditioning | 空调
desk-lamp lamp table-lamp floor-lamp lamp-desk | 台灯 灯
wardrobe closet | 衣柜
table-furniture desk | 桌子 书桌
curtain | 窗帘
pillow | 枕头
hanger coat-hanger | 衣架
dress | 裙子 连衣裙
skirt | 半身裙 短裙
hoodie clothes-hoodie | 连帽衫 卫衣
belt | 皮带 腰带
baby-carriage baby-stroller stroller | 婴儿车 推车
bow-tie | 领结
chef-hat | 厨师帽
dumbbell barbell | 哑铃 杠铃
piano grand-piano | 钢琴
harp | 竖琴
lighthouse | 灯塔
windmill | 风车
bridge | 桥 大桥
castle | 城堡
skyscraper city buildings | 高楼 城市
garage | 车库
pyramid pyramids | 金字塔
eiffel-tower | 埃菲尔铁塔 铁塔
pagoda | 宝塔 塔
bulldozer | 推土机
excavator | 挖掘机
crane | 起重机 吊车
forklift | 叉车
caravan | 房车
helicopter | 直升机
submarine | 潜水艇
hot-air-balloon air-balloon | 热气球
parachute | 降落伞
tank | 坦克
cannon | 大炮
drone | 无人机
traffic-cone cone | 路锥 交通锥
steering-wheel | 方向盘
gas-station gas-pump | 加油站
tire | 轮胎
calculator | 计算器
projector | 投影仪
webcam | 网络摄像头
headset | 耳麦
router | 路由器
smart-watch smartwatch | 智能手表
tablet | 平板电脑
server | 服务器
flashlight torch | 手电筒
binoculars | 望远镜
compass | 指南针
map | 地图
passport | 护照
wallet | 钱包
piggy-bank | 存钱罐
cash-register | 收银机
shopping-basket | 购物篮
stamp | 印章 图章
gavel | 法槌
chess-knight | 国际象棋 马
chess-king chess-queen | 国王棋子 国际象棋
dice | 骰子
playing-cards cards | 扑克牌
puzzle | 拼图
kite | 风筝
swimming-pool | 游泳池
campfire | 篝火
lighter | 打火机
match | 火柴
paint-roller | 油漆滚筒 滚筒刷
paint-bucket | 油漆桶
ruler | 尺子
eraser | 橡皮
chalkboard blackboard | 黑板
stapler | 订书机
book-shelf bookshelf | 书架
telescope | 天文望远镜
robot-arm robotic-arm | 机械臂
solar-panel | 太阳能板
wind-turbine | 风力发电机
faucet tap | 水龙头
toothpaste | 牙膏
comb | 梳子
hair-dryer hairdryer | 吹风机
perfume | 香水
nail-polish | 指甲油
tissue | 纸巾
towel | 毛巾
stethoscope | 听诊器
wheelchair | 轮椅
bandage | 绷带
thermometer | 体温计 温度计
ambulance | 救护车
first-aid-kit | 急救箱
bone | 骨头
skeleton | 骨骼 骷髅
tree pine-tree | 树 树木
forest | 森林
mountain | 山
waterfall | 瀑布
river | 河流
wheat | 小麦 麦穗
pumpkin | 南瓜
tea-cup teacup cup | 茶杯 杯子
bottle | 瓶子
frying-pan pan | 平底锅
cooking-pot pot | 锅 汤锅
fork-knife | 刀叉 餐具
noodles ramen | 面条 拉面
sandwich | 三明治
steak | 牛排
sausage | 香肠
ice-cream | 冰激凌 冰淇淋
candy | 糖果
cupcake | 纸杯蛋糕
birdhouse | 鸟屋
dinosaur | 恐龙
jellyfish | 水母
seahorse | 海马
doctor user-doctor | 医生 大夫
nurse user-nurse | 护士
teacher chalkboard-teacher | 老师 教师
judge | 法官
soldier | 士兵 军人
pirate | 海盗
knight | 骑士
astronaut | 宇航员
farmer | 农民
detective | 侦探
hiking person-hiking | 徒步 登山
swimming swim person-swimming | 游泳
running run person-running | 跑步
skateboarding | 滑板
meditation | 冥想 打坐
yoga | 瑜伽
"""

THINGS: tuple[Thing, ...] = tuple(
    Thing(tuple(icons.split()), tuple(words.split()))
    for icons, words in (line.split("|") for line in _TABLE.strip().splitlines())
)
